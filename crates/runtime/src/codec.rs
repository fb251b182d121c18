//! The one place that knows how values become bytes, for frames and for the log: MessagePack.
//! Digests and signatures are not taken over these bytes; see `consensus_core::Canonical`.

use bytes::Bytes;
use consensus_core::mutant::planted;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Write};

/// Bytes that are not exactly one value of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError(String);

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes do not decode: {}", self.0)
    }
}

impl std::error::Error for CodecError {}

/// A value as bytes.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, value);
    bytes.into()
}

/// A value as bytes, after what is there already.
///
/// # Panics
/// If the type cannot be encoded at all, which is a mistake of its author.
pub(crate) fn encode_into<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    rmp_serde::encode::write(bytes, value).expect("messages and records are plain data");
}

/// How many bytes [`encode`] would make, without making them.
///
/// # Panics
/// Like [`encode`].
pub fn encoded_len<T: Serialize>(value: &T) -> usize {
    let mut length = Length(0);
    rmp_serde::encode::write(&mut length, value).expect("messages and records are plain data");
    length.0
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The value that these bytes, all of them, stand for.
///
/// # Errors
/// If they are not a value of this type, or if something follows it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    use rmp_serde::decode::Error;
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    let value = T::deserialize(&mut decoder).map_err(|error| CodecError(error.to_string()))?;
    // The decoder does not tell its place; but only at the end can no further marker be read.
    match <()>::deserialize(&mut decoder) {
        Err(Error::InvalidMarkerRead(end)) if end.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(value)
        }
        _ if planted("F02") => Ok(value),
        _ => Err(CodecError("something follows the value".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Batch, ClientId, Command, NodeId, NodeSet, RequestId, SessionId, Tag};
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
    enum Sample {
        Unit,
        Named { set: NodeSet, wide: u128, maybe: Option<NodeId> },
        Batch(Batch),
    }

    fn samples() -> Vec<Sample> {
        let command = Command {
            client: ClientId(u64::MAX),
            session: SessionId(3),
            request: RequestId(4),
            payload: Bytes::from_static(b"payload"),
            tag: Tag(Bytes::from_static(&[0xff; 64])),
        };
        vec![
            Sample::Unit,
            Sample::Named { set: NodeSet::first(128), wide: u128::MAX, maybe: None },
            Sample::Named { set: NodeSet::EMPTY, wide: 0, maybe: Some(NodeId(7)) },
            Sample::Batch(Batch::of(&[command.clone(), command])),
            Sample::Batch(Batch::noop()),
        ]
    }

    #[test]
    fn what_was_encoded_decodes_and_its_length_was_known() {
        for sample in samples() {
            let bytes = encode(&sample);
            assert_eq!(bytes.len(), encoded_len(&sample));
            assert_eq!(decode::<Sample>(&bytes), Ok(sample));
        }
    }

    #[test]
    fn a_cut_value_and_a_value_with_something_behind_it_are_errors() {
        for sample in samples() {
            let bytes = encode(&sample);
            for cut in 0..bytes.len() {
                assert!(decode::<Sample>(&bytes[..cut]).is_err());
            }
            for extra in 0..=u8::MAX {
                assert!(decode::<Sample>(&[&bytes[..], &[extra]].concat()).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = decode::<Sample>(&bytes) {
                prop_assert_eq!(decode::<Sample>(&encode(&value)), Ok(value));
            }
        }
    }
}
