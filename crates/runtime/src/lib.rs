//! Runs any Synod protocol on real disks and TCP.
