//! Hostile bytes and faulty disks, for everything that Synod reads.

pub mod disk;
pub mod storage;
