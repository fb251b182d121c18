//! The names of workloads on the command line.

use super::trace_file::{TraceError, parse_trace};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use synod_kv::{KvCommand, MAX_VALUE};

/// Which workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadSpec {
    /// YCSB core workload A: half reads, half updates.
    YcsbA,
    /// YCSB core workload B: 95 % reads.
    YcsbB,
    /// YCSB core workload C: reads only.
    YcsbC,
    /// Writes of `size` bytes to 1000 keys, drawn uniformly.
    KvWrite {
        /// Bytes of a value.
        size: usize,
    },
    /// A trace file of one's own; the format is described at [`parse_trace`].
    File(PathBuf),
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        Self::KvWrite { size: 128 }
    }
}

impl fmt::Display for WorkloadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::YcsbA => f.write_str("ycsb-a"),
            Self::YcsbB => f.write_str("ycsb-b"),
            Self::YcsbC => f.write_str("ycsb-c"),
            Self::KvWrite { size } => write!(f, "kv-write:{size}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for WorkloadSpec {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "ycsb-a" => return Ok(Self::YcsbA),
            "ycsb-b" => return Ok(Self::YcsbB),
            "ycsb-c" => return Ok(Self::YcsbC),
            "kv-write" => return Ok(Self::default()),
            _ => {}
        }
        if let Some(size) = text.trim().strip_prefix("kv-write:") {
            return match size.parse() {
                Ok(size) if size <= MAX_VALUE => Ok(Self::KvWrite { size }),
                _ => Err(WorkloadError::BadSize(size.to_owned())),
            };
        }
        if Path::new(text).is_file() {
            return Ok(Self::File(text.into()));
        }
        Err(WorkloadError::Unknown(text.to_owned()))
    }
}

/// A workload that cannot be had.
#[derive(Debug)]
pub enum WorkloadError {
    /// Neither a name nor a file.
    Unknown(String),
    /// `kv-write:` followed by what is no size.
    BadSize(String),
    /// The trace file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The trace file is not one.
    Malformed(PathBuf, TraceError),
    /// There is nothing to do in it.
    Empty(String),
}

impl fmt::Display for WorkloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(text) => write!(
                f,
                "there is no workload '{text}', and no file of that name; choose from ycsb-a, \
                 ycsb-b, ycsb-c, kv-write, kv-write:BYTES, or name a trace file"
            ),
            Self::BadSize(text) => write!(
                f,
                "'{text}' is no size of a value; write kv-write:BYTES with 0 to {MAX_VALUE} bytes"
            ),
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Malformed(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Empty(name) => write!(f, "the workload {name} has no operations to measure"),
        }
    }
}

impl std::error::Error for WorkloadError {}

/// Load phase and operations of a trace file.
pub(super) fn read_trace(path: &Path) -> Result<(Vec<KvCommand>, Vec<KvCommand>), WorkloadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| WorkloadError::Unreadable(path.into(), error))?;
    parse_trace(&text).map_err(|error| WorkloadError::Malformed(path.into(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_printed_back() {
        for name in ["ycsb-a", "ycsb-b", "ycsb-c", "kv-write:0", "kv-write:1024"] {
            let spec: WorkloadSpec = name.parse().expect("a workload");
            assert_eq!(spec.to_string(), name);
        }
        assert_eq!(
            "kv-write".parse::<WorkloadSpec>().expect("a workload"),
            WorkloadSpec::default()
        );
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let complaint = |text: &str| text.parse::<WorkloadSpec>().unwrap_err().to_string();
        assert!(complaint("ycsb-z").contains("ycsb-c"));
        assert!(complaint("kv-write:big").contains("kv-write:BYTES"));
        assert!(complaint("kv-write:99999999").contains("1048576"));
    }
}
