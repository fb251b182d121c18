//! Any serializable value as an expression of TLA+ (Lamport, "Specifying Systems", 2002, §16.1).
//!
//! | Rust | TLA+ |
//! |---|---|
//! | struct | record of the same fields |
//! | variant of an enum | record with the variant's name as `kind`; a string if it holds nothing |
//! | `None`, `Some(x)` | the constant `None`, and `x` |
//! | newtype | what is in it |
//! | bytes: a batch | a string, from the fingerprint |
//! | integer of 32 bits and more | a string, as TLC counts with 31 bits |

use consensus_core::Fingerprint;
use serde::ser::{self, Serialize};
use std::fmt::{self, Write as _};

/// The value as an expression.
pub(crate) fn expression<T: Serialize + ?Sized>(value: &T) -> String {
    value.serialize(Expression).unwrap_or_else(|NoExpression(why)| {
        unreachable!("records and messages of protocols are plain data: {why}")
    })
}

/// A value that TLA+ has no word for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoExpression(String);

impl fmt::Display for NoExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoExpression {}

impl ser::Error for NoExpression {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

type Said = Result<String, NoExpression>;

#[derive(Clone, Copy)]
struct Expression;

/// The largest integer of TLC.
const LARGEST: u64 = i32::MAX as u64;

fn number(value: u64) -> Said {
    Ok(if value > LARGEST { format!("\"x{value:016x}\"") } else { value.to_string() })
}

/// What was put between brackets so far.
struct Parts {
    open: &'static str,
    close: &'static str,
    parts: Vec<String>,
}

impl Parts {
    fn tuple(parts: Vec<String>) -> Self {
        Self { open: "<<", close: ">>", parts }
    }

    fn record(kind: Option<&'static str>) -> Self {
        let parts = kind.into_iter().map(|kind| format!("kind |-> \"{kind}\"")).collect();
        Self { open: "[", close: "]", parts }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoExpression> {
        self.parts.push(value.serialize(Expression)?);
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), NoExpression> {
        let value = value.serialize(Expression)?;
        self.parts.push(format!("{name} |-> {value}"));
        Ok(())
    }

    fn said(self) -> Said {
        let mut text = self.open.to_owned();
        for (place, part) in self.parts.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(text, "{comma}{part}").expect("a string takes everything");
        }
        text.push_str(self.close);
        Ok(text)
    }
}

impl ser::Serializer for Expression {
    type Ok = String;
    type Error = NoExpression;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = ser::Impossible<String, NoExpression>;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    fn serialize_bool(self, value: bool) -> Said {
        Ok(if value { "TRUE" } else { "FALSE" }.to_owned())
    }

    fn serialize_i8(self, value: i8) -> Said {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Said {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Said {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Said {
        match u64::try_from(value) {
            Ok(value) => number(value),
            Err(_) => Err(ser::Error::custom("a negative number")),
        }
    }

    fn serialize_u8(self, value: u8) -> Said {
        number(value.into())
    }

    fn serialize_u16(self, value: u16) -> Said {
        number(value.into())
    }

    fn serialize_u32(self, value: u32) -> Said {
        number(value.into())
    }

    fn serialize_u64(self, value: u64) -> Said {
        number(value)
    }

    fn serialize_u128(self, value: u128) -> Said {
        match u64::try_from(value) {
            Ok(value) => number(value),
            Err(_) => Ok(format!("\"x{value:032x}\"")),
        }
    }

    fn serialize_f32(self, _: f32) -> Said {
        Err(ser::Error::custom("a fraction"))
    }

    fn serialize_f64(self, _: f64) -> Said {
        Err(ser::Error::custom("a fraction"))
    }

    fn serialize_char(self, value: char) -> Said {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Said {
        Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
    }

    fn serialize_bytes(self, value: &[u8]) -> Said {
        Ok(format!("\"x{:016x}\"", Fingerprint::of(value).0))
    }

    fn serialize_none(self) -> Said {
        Ok("None".to_owned())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Said {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Said {
        Ok("<<>>".to_owned())
    }

    fn serialize_unit_struct(self, name: &'static str) -> Said {
        self.serialize_str(name)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Said {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Said {
        value.serialize(self)
    }

    /// Where the variant holds a struct, the struct's fields become the variant's.
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Said {
        let value = value.serialize(self)?;
        Ok(match value.strip_prefix('[') {
            Some(fields) => format!("[kind |-> \"{variant}\", {fields}"),
            None => format!("[kind |-> \"{variant}\", value |-> {value}]"),
        })
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, NoExpression> {
        Ok(Parts::tuple(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, NoExpression> {
        Ok(Parts::tuple(Vec::new()))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, NoExpression> {
        Ok(Parts::tuple(Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NoExpression> {
        Ok(Parts::tuple(vec![format!("\"{variant}\"")]))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NoExpression> {
        Err(ser::Error::custom("a map"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, NoExpression> {
        Ok(Parts::record(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NoExpression> {
        Ok(Parts::record(Some(variant)))
    }
}

impl ser::SerializeSeq for Parts {
    type Ok = String;
    type Error = NoExpression;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoExpression> {
        self.element(value)
    }

    fn end(self) -> Said {
        self.said()
    }
}

impl ser::SerializeTuple for Parts {
    type Ok = String;
    type Error = NoExpression;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoExpression> {
        self.element(value)
    }

    fn end(self) -> Said {
        self.said()
    }
}

impl ser::SerializeTupleStruct for Parts {
    type Ok = String;
    type Error = NoExpression;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoExpression> {
        self.element(value)
    }

    fn end(self) -> Said {
        self.said()
    }
}

impl ser::SerializeTupleVariant for Parts {
    type Ok = String;
    type Error = NoExpression;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoExpression> {
        self.element(value)
    }

    fn end(self) -> Said {
        self.said()
    }
}

impl ser::SerializeStruct for Parts {
    type Ok = String;
    type Error = NoExpression;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), NoExpression> {
        self.field(name, value)
    }

    fn end(self) -> Said {
        self.said()
    }
}

impl ser::SerializeStructVariant for Parts {
    type Ok = String;
    type Error = NoExpression;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), NoExpression> {
        self.field(name, value)
    }

    fn end(self) -> Said {
        self.said()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Ballot, Batch, Incarnation, LogIndex, NodeId};
    use serde::Serialize;

    #[derive(Serialize)]
    struct Inner {
        ballot: Ballot,
        batch: Batch,
    }

    #[derive(Serialize)]
    enum Spoken {
        Nothing,
        Inner(Inner),
        Slot(LogIndex),
        Both { yes: bool, inner: Option<Inner>, slots: Vec<LogIndex> },
    }

    /// The names are the code's, so that a text in TLA+ can be read beside it.
    #[test]
    fn values_keep_their_names() {
        let ballot = Ballot::above(Ballot::ZERO, NodeId(2), Incarnation(7));
        let batch = Batch::noop();
        let value = format!("\"x{:016x}\"", batch.fingerprint().0);
        let inner =
            format!("ballot |-> [round |-> 1, node |-> 2, incarnation |-> 7], batch |-> {value}]");
        let nothing = Inner { ballot, batch: batch.clone() };
        assert_eq!(expression(&Spoken::Nothing), "\"Nothing\"");
        assert_eq!(expression(&Spoken::Inner(nothing)), format!("[kind |-> \"Inner\", {inner}"));
        assert_eq!(expression(&Spoken::Slot(LogIndex(3))), "[kind |-> \"Slot\", value |-> 3]");
        let slots = vec![LogIndex(1), LogIndex(2)];
        let both = Spoken::Both { yes: true, inner: None, slots };
        let text = "[kind |-> \"Both\", yes |-> TRUE, inner |-> None, slots |-> <<1, 2>>]";
        assert_eq!(expression(&both), text);
        let both = Spoken::Both { yes: false, inner: Some(Inner { ballot, batch }), slots: vec![] };
        let text =
            format!("[kind |-> \"Both\", yes |-> FALSE, inner |-> [{inner}, slots |-> <<>>]");
        assert_eq!(expression(&both), text);
    }

    /// TLC overflows beyond 2^31 - 1; a fingerprint is only ever compared.
    #[test]
    fn what_tlc_cannot_count_is_a_string() {
        assert_eq!(expression(&LARGEST), "2147483647");
        assert_eq!(expression(&(LARGEST + 1)), "\"x0000000080000000\"");
        let batch = Batch::noop();
        assert_eq!(expression(&batch), expression(&batch.fingerprint().0), "one name for both");
        assert_eq!(expression("a \"word\""), "\"a \\\"word\\\"\"");
    }
}
