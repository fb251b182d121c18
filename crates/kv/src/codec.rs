//! Commands and results as bytes: a tag, then fields with their lengths. Total: any bytes decode
//! to one value or to nothing.

use crate::{KvCommand, KvResult};
use bytes::{BufMut, Bytes, BytesMut};

fn put_field(out: &mut BytesMut, field: &Bytes) {
    out.put_u32_le(u32::try_from(field.len()).expect("a field fits 32 bits"));
    out.put_slice(field);
}

fn put_optional(out: &mut BytesMut, field: Option<&Bytes>) {
    out.put_u8(u8::from(field.is_some()));
    if let Some(field) = field {
        put_field(out, field);
    }
}

/// Reads fields off the front of shared bytes.
struct Reader(Bytes);

impl Reader {
    fn byte(&mut self) -> Option<u8> {
        let first = *self.0.first()?;
        let _ = self.0.split_to(1);
        Some(first)
    }

    fn field(&mut self) -> Option<Bytes> {
        let length = u32::from_le_bytes(self.0.get(..4)?.try_into().ok()?) as usize;
        if self.0.len() - 4 < length {
            return None;
        }
        let _ = self.0.split_to(4);
        Some(self.0.split_to(length))
    }

    fn optional(&mut self) -> Option<Option<Bytes>> {
        match self.byte()? {
            0 => Some(None),
            1 => Some(Some(self.field()?)),
            _ => None,
        }
    }

    /// The value, if nothing is left over.
    fn all<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

impl KvCommand {
    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(32 + self.key().len());
        match self {
            Self::Get { key } => {
                out.put_u8(0);
                put_field(&mut out, key);
            }
            Self::Put { key, value } => {
                out.put_u8(1);
                put_field(&mut out, key);
                put_field(&mut out, value);
            }
            Self::Delete { key } => {
                out.put_u8(2);
                put_field(&mut out, key);
            }
            Self::Cas { key, expected, new } => {
                out.put_u8(3);
                put_field(&mut out, key);
                put_optional(&mut out, expected.as_ref());
                put_field(&mut out, new);
            }
        }
        out.freeze()
    }

    /// The command that these bytes are, if any. Fields share the bytes.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader(bytes.clone());
        let command = match reader.byte()? {
            0 => Self::Get { key: reader.field()? },
            1 => Self::Put { key: reader.field()?, value: reader.field()? },
            2 => Self::Delete { key: reader.field()? },
            3 => Self::Cas {
                key: reader.field()?,
                expected: reader.optional()?,
                new: reader.field()?,
            },
            _ => return None,
        };
        reader.all(command)
    }
}

impl KvResult {
    /// The result as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8);
        match self {
            Self::Value(value) => {
                out.put_u8(0);
                put_optional(&mut out, value.as_ref());
            }
            Self::Written => out.put_u8(1),
            Self::Deleted(found) => out.put_slice(&[2, u8::from(*found)]),
            Self::Swapped => out.put_u8(3),
            Self::NotSwapped(value) => {
                out.put_u8(4);
                put_optional(&mut out, value.as_ref());
            }
            Self::Malformed => out.put_u8(5),
        }
        out.freeze()
    }

    /// The result that these bytes are, if any.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader(bytes.clone());
        let result = match reader.byte()? {
            0 => Self::Value(reader.optional()?),
            1 => Self::Written,
            2 => match reader.byte()? {
                0 => Self::Deleted(false),
                1 => Self::Deleted(true),
                _ => return None,
            },
            3 => Self::Swapped,
            4 => Self::NotSwapped(reader.optional()?),
            5 => Self::Malformed,
            _ => return None,
        };
        reader.all(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    fn command() -> impl Strategy<Value = KvCommand> {
        let optional = proptest::option::of(bytes());
        (0..4, bytes(), optional, bytes()).prop_map(|(kind, key, expected, value)| match kind {
            0 => KvCommand::Get { key },
            1 => KvCommand::Put { key, value },
            2 => KvCommand::Delete { key },
            _ => KvCommand::Cas { key, expected, new: value },
        })
    }

    proptest! {
        #[test]
        fn commands_survive_the_trip(command in command()) {
            prop_assert_eq!(KvCommand::decode(&command.encode()), Some(command));
        }

        #[test]
        fn cut_and_extended_commands_are_refused(command in command(), cut in 1usize..6) {
            let bytes = command.encode();
            let shorter = bytes.slice(..bytes.len().saturating_sub(cut));
            prop_assert_eq!(KvCommand::decode(&shorter), None);
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            prop_assert_eq!(KvCommand::decode(&longer), None);
        }

        #[test]
        fn garbage_is_refused_or_has_one_encoding(bytes in bytes()) {
            if let Some(command) = KvCommand::decode(&bytes) {
                prop_assert_eq!(command.encode(), bytes.clone());
            }
            if let Some(result) = KvResult::decode(&bytes) {
                prop_assert_eq!(result.encode(), bytes);
            }
        }

        /// Random bytes rarely get past the first length; a command with one byte changed does.
        #[test]
        fn nearly_a_command_is_refused_or_has_one_encoding(
            command in command(), at in any::<prop::sample::Index>(), flip in 1u8..=255
        ) {
            let mut bytes = command.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let bytes = Bytes::from(bytes);
            if let Some(command) = KvCommand::decode(&bytes) {
                prop_assert_eq!(command.encode(), bytes);
            }
        }

        #[test]
        fn results_survive_the_trip(
            kind in 0..6, found: bool, value in proptest::option::of(bytes())
        ) {
            let result = match kind {
                0 => KvResult::Value(value),
                1 => KvResult::Written,
                2 => KvResult::Deleted(found),
                3 => KvResult::Swapped,
                4 => KvResult::NotSwapped(value),
                _ => KvResult::Malformed,
            };
            prop_assert_eq!(KvResult::decode(&result.encode()), Some(result));
        }
    }
}
