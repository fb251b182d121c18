//! A deterministic simulator with disks, faults and oracles for any Synod protocol.
