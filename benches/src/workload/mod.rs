//! Workloads: what is asked of a cluster, recorded before the first row is measured, so that every
//! row is given the same bytes in the same order.

pub(crate) mod random;
mod spec;
mod trace_file;
mod zipf;

pub(crate) use random::Random;
pub use spec::{WorkloadError, WorkloadSpec};
pub use trace_file::{TraceError, parse_trace};

use bytes::Bytes;
use consensus_core::Fingerprint;
use synod_kv::KvCommand;
use zipf::{ScrambledZipfian, scramble};

/// Records (keys) of the generated workloads.
pub const RECORDS: u64 = 1000;
/// Fields of a YCSB record, and bytes of each.
pub const YCSB_RECORD: (usize, usize) = (10, 100);

/// A recorded workload: first the load phase, which is not measured, then the operations.
#[derive(Clone, Debug)]
pub struct Workload {
    name: String,
    load: Vec<Bytes>,
    operations: Vec<Bytes>,
    reads: usize,
    hash: Fingerprint,
}

impl Workload {
    /// Records a workload: so many operations, drawn from this seed. A trace file is taken as it
    /// is, once, whole; it needs neither.
    ///
    /// # Errors
    /// If the trace file cannot be read or is not one.
    pub fn record(
        spec: &WorkloadSpec,
        operations: usize,
        seed: u64,
    ) -> Result<Self, WorkloadError> {
        let (load, commands) = match spec {
            WorkloadSpec::YcsbA => ycsb(0.50, operations, seed),
            WorkloadSpec::YcsbB => ycsb(0.95, operations, seed),
            WorkloadSpec::YcsbC => ycsb(1.00, operations, seed),
            WorkloadSpec::KvWrite { size } => (Vec::new(), kv_write(*size, operations, seed)),
            WorkloadSpec::File(path) => spec::read_trace(path)?,
        };
        let name = spec.to_string();
        if commands.is_empty() {
            return Err(WorkloadError::Empty(name));
        }
        Ok(Self::of(name, &load, &commands))
    }

    /// Encodes and hashes these commands.
    pub fn of(name: String, load: &[KvCommand], commands: &[KvCommand]) -> Self {
        let encode = |commands: &[KvCommand]| -> Vec<Bytes> {
            commands.iter().map(KvCommand::encode).collect()
        };
        let (load, operations) = (encode(load), encode(commands));
        let mut hash = Fingerprint::default().then(&load.len());
        for operation in load.iter().chain(&operations) {
            hash = hash.then(&operation[..]);
        }
        let is_read = |command: &&KvCommand| matches!(command, KvCommand::Get { .. });
        let reads = commands.iter().filter(is_read).count();
        Self { name, load, operations, reads, hash }
    }

    /// Its name, as given on the command line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The encoded commands that fill the store before the measurement.
    pub fn load(&self) -> &[Bytes] {
        &self.load
    }

    /// The encoded commands that are measured.
    pub fn operations(&self) -> &[Bytes] {
        &self.operations
    }

    /// Over all bytes of load and operations, in order.
    pub fn hash(&self) -> Fingerprint {
        self.hash
    }

    /// Bytes of a command, on average.
    pub fn mean_bytes(&self) -> f64 {
        let bytes: usize = self.operations.iter().map(Bytes::len).sum();
        bytes as f64 / self.operations.len() as f64
    }

    /// One line for people: what every row was given.
    pub fn describe(&self) -> String {
        let count = self.operations.len();
        let reads = 100.0 * self.reads as f64 / count as f64;
        let loaded = match self.load.len() {
            0 => String::new(),
            records => format!(" after loading {records} records"),
        };
        format!(
            "workload {}: {count} operations{loaded}, {reads:.0} % reads, {:.0} bytes a command \
             on average, trace {:016x} (the same bytes in every row)",
            self.name,
            self.mean_bytes(),
            self.hash.0
        )
    }
}

/// YCSB core workloads: zipfian requests over records of ten fields. A record is one value here,
/// so an update writes all its fields (YCSB's `writeallfields`).
fn ycsb(reads: f64, operations: usize, seed: u64) -> (Vec<KvCommand>, Vec<KvCommand>) {
    let mut random = Random::new(seed);
    let bytes = YCSB_RECORD.0 * YCSB_RECORD.1;
    let load = (0..RECORDS).map(|record| put(user(record), random.bytes(bytes))).collect();
    let records = ScrambledZipfian::new(RECORDS);
    let commands = (0..operations).map(|_| {
        let key = user(records.draw(&mut random));
        if random.unit() < reads {
            KvCommand::Get { key: key.into() }
        } else {
            put(key, random.bytes(bytes))
        }
    });
    let commands = commands.collect();
    (load, commands)
}

/// Writes of one size to uniformly drawn keys.
fn kv_write(size: usize, operations: usize, seed: u64) -> Vec<KvCommand> {
    let mut random = Random::new(seed);
    let write = |_| put(format!("key{:04}", random.below(RECORDS)), random.bytes(size));
    (0..operations).map(write).collect()
}

/// YCSB's key of a record: hashed, so that keys are not in the order of loading.
fn user(record: u64) -> String {
    format!("user{}", scramble(record))
}

fn put(key: String, value: Vec<u8>) -> KvCommand {
    KvCommand::Put { key: key.into(), value: value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str, operations: usize, seed: u64) -> Workload {
        let spec = name.parse().expect("a known workload");
        Workload::record(&spec, operations, seed).expect("generated workloads never fail")
    }

    #[test]
    fn equal_seeds_record_equal_bytes_and_the_hash_says_so() {
        let one = recorded("ycsb-a", 500, 4);
        assert_eq!(one.operations(), recorded("ycsb-a", 500, 4).operations());
        assert_eq!(one.hash(), recorded("ycsb-a", 500, 4).hash());
        assert_ne!(one.hash(), recorded("ycsb-a", 500, 5).hash());
        assert_ne!(one.hash(), recorded("ycsb-b", 500, 4).hash());
        assert_ne!(one.hash(), recorded("ycsb-a", 499, 4).hash());
    }

    /// Pinned: results of different machines and versions are comparable only while it holds.
    #[test]
    fn the_default_workload_has_the_hash_it_always_had() {
        let hash = recorded("kv-write", 1000, 1).hash();
        assert_eq!(format!("{:016x}", hash.0), "bbf0e5e9d3870fe1");
    }

    #[test]
    fn the_mix_and_the_shape_are_those_of_ycsb() {
        for (name, share) in [("ycsb-a", 0.5), ("ycsb-b", 0.95), ("ycsb-c", 1.0)] {
            let workload = recorded(name, 4000, 9);
            assert_eq!(workload.load().len(), 1000);
            let reads = workload.reads as f64 / 4000.0;
            assert!((reads - share).abs() < 0.03, "{name}: {reads}");
            for operation in workload.load().iter().chain(workload.operations()) {
                match KvCommand::decode(operation).expect("a command") {
                    KvCommand::Get { key } => assert!(key.starts_with(b"user")),
                    KvCommand::Put { key, value } => {
                        assert!(key.starts_with(b"user"));
                        assert_eq!(value.len(), 1000);
                    }
                    other => panic!("{name} has {other:?}"),
                }
            }
        }
    }

    #[test]
    fn every_read_of_ycsb_c_finds_a_loaded_record() {
        let workload = recorded("ycsb-c", 1000, 2);
        let key = |operation: &Bytes| match KvCommand::decode(operation) {
            Some(KvCommand::Get { key } | KvCommand::Put { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        let loaded: Vec<_> = workload.load().iter().map(key).collect();
        assert!(workload.operations().iter().map(key).all(|asked| loaded.contains(&asked)));
    }
}
