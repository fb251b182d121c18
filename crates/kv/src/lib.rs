//! A small replicated key-value store: the state machine that Synod's tools run over every
//! algorithm.
//!
//! ```
//! use consensus_core::StateMachine;
//! use synod_kv::{KvCommand, KvResult, KvStore};
//!
//! let mut store = KvStore::default();
//! let put = KvCommand::Put { key: "x".into(), value: "1".into() };
//! assert_eq!(KvResult::decode(&store.apply(&put.encode())), Some(KvResult::Written));
//! let get = KvCommand::Get { key: "x".into() };
//! let found = KvResult::decode(&store.query(&get.encode()));
//! assert_eq!(found, Some(KvResult::Value(Some("1".into()))));
//! ```

mod codec;
mod store;

use bytes::Bytes;
use std::fmt;

pub use store::KvStore;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 8 * 1024;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;

/// What can be asked of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvCommand {
    /// The value of a key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Sets a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its value from now on.
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Sets a key if its value is as expected (compare and swap).
    Cas {
        /// The key.
        key: Bytes,
        /// The value it must have; `None` if it must not exist.
        expected: Option<Bytes>,
        /// Its value from then on.
        new: Bytes,
    },
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvResult {
    /// The value of a key, if it exists.
    Value(Option<Bytes>),
    /// The key was set.
    Written,
    /// The key was removed; false if it did not exist.
    Deleted(bool),
    /// The value was as expected and was replaced.
    Swapped,
    /// The value was not as expected; this is what it was.
    NotSwapped(Option<Bytes>),
    /// The command made no sense: garbage, or a key or value beyond the limits. Nothing changed.
    Malformed,
}

impl KvCommand {
    /// The key that it is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Delete { key }
            | Self::Cas { key, .. } => key,
        }
    }

    /// Is it within the limits?
    ///
    /// # Errors
    /// If not, with what is too long.
    pub fn validate(&self) -> Result<(), TooLong> {
        let values: [Option<&Bytes>; 2] = match self {
            Self::Get { .. } | Self::Delete { .. } => [None, None],
            Self::Put { value, .. } => [Some(value), None],
            Self::Cas { expected, new, .. } => [expected.as_ref(), Some(new)],
        };
        if self.key().len() > MAX_KEY {
            return Err(TooLong { what: "key", length: self.key().len(), limit: MAX_KEY });
        }
        for value in values.into_iter().flatten() {
            if value.len() > MAX_VALUE {
                return Err(TooLong { what: "value", length: value.len(), limit: MAX_VALUE });
            }
        }
        Ok(())
    }
}

/// A key or value beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    what: &'static str,
    length: usize,
    limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, length, limit } = self;
        write!(f, "a {what} of {length} bytes is too long: the limit is {limit} bytes")
    }
}

impl std::error::Error for TooLong {}

/// Bytes for people: as text, and shortened where they are long.
struct Shown<'a>(&'a Bytes);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHORT: usize = 32;
        let bytes = self.0;
        write!(f, "{}", bytes[..bytes.len().min(SHORT)].escape_ascii())?;
        if bytes.len() > SHORT {
            write!(f, "… ({} bytes)", bytes.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for KvCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(f, "get {}", Shown(key)),
            Self::Put { key, value } => write!(f, "put {} {}", Shown(key), Shown(value)),
            Self::Delete { key } => write!(f, "del {}", Shown(key)),
            Self::Cas { key, expected: Some(expected), new } => {
                write!(f, "cas {} {} {}", Shown(key), Shown(expected), Shown(new))
            }
            Self::Cas { key, expected: None, new } => {
                write!(f, "cas {} (none) {}", Shown(key), Shown(new))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_exact_and_the_error_names_them() {
        let put = |key: usize, value: usize| KvCommand::Put {
            key: Bytes::from(vec![0; key]),
            value: Bytes::from(vec![0; value]),
        };
        assert_eq!(put(MAX_KEY, MAX_VALUE).validate(), Ok(()));
        let key = put(MAX_KEY + 1, 0).validate().unwrap_err().to_string();
        assert_eq!(key, "a key of 8193 bytes is too long: the limit is 8192 bytes");
        assert!(put(0, MAX_VALUE + 1).validate().unwrap_err().to_string().contains("value"));
        let long = Some(Bytes::from(vec![0; MAX_VALUE + 1]));
        let cas = KvCommand::Cas { key: Bytes::new(), expected: long, new: Bytes::new() };
        assert!(cas.validate().is_err());
    }

    #[test]
    fn long_values_are_shown_short() {
        let put = KvCommand::Put { key: "x".into(), value: vec![b'y'; 40].into() };
        assert_eq!(put.to_string(), format!("put x {}… (40 bytes)", "y".repeat(32)));
    }
}
