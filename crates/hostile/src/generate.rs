//! Makes a value of any type that can be decoded, from choices: a decoder whose input is a
//! [`Feed`]. So a message of any algorithm can have any field values, and no algorithm is named.

use crate::feed::Feed;
use bytes::Bytes;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor, value::Error, value::U32Deserializer,
};
use serde::{Deserializer, forward_to_deserialize_any};
use synod_runtime::rig::Saying;

/// A value; `None` if the choices made bytes that the type does not take.
pub fn generate<T: DeserializeOwned>(feed: &mut Feed<'_>) -> Option<T> {
    T::deserialize(Choices { feed }).ok()
}

/// Any bytes of such a saying; `None` as above.
pub fn saying(what: Saying, feed: &mut Feed<'_>) -> Option<Bytes> {
    what.from_any(Choices { feed }).ok()
}

struct Choices<'f, 'a> {
    feed: &'f mut Feed<'a>,
}

/// A list so long that nobody sends it is of no use; most are short.
fn length(feed: &mut Feed<'_>) -> usize {
    match feed.byte() {
        class @ 0..250 => usize::from(class) % 4,
        _ => feed.below(64),
    }
}

impl<'de> Deserializer<'de> for Choices<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("a value must say of which type it is"))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.feed.chance(128))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let byte = self.feed.byte();
        visitor.visit_u8(if byte < 224 { byte % 8 } else { self.feed.byte() })
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u16(self.feed.number() as u16)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.feed.number() as u32)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.feed.number())
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (high, low) = (self.feed.number(), self.feed.word());
        visitor.visit_u128(u128::from(high) << 64 | u128::from(low))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.feed.number() as i64)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let length = length(self.feed) * 4;
        visitor.visit_string(String::from_utf8_lossy(self.feed.take(length)).into_owned())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_byte_buf(self.feed.blob().to_vec())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.feed.chance(128) { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = length(self.feed);
        visitor.visit_seq(Items { feed: self.feed, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { feed: self.feed, left })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { feed: self.feed, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = length(self.feed);
        visitor.visit_map(Items { feed: self.feed, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { feed: self.feed, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = self.feed.below(variants.len()) as u32;
        visitor.visit_enum(Variant { feed: self.feed, variant })
    }

    forward_to_deserialize_any! { i8 i16 i32 f32 f64 char identifier ignored_any }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The items of a list, the fields of a struct, the pairs of a map.
struct Items<'f, 'a> {
    feed: &'f mut Feed<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(Choices { feed: self.feed }).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Choices { feed: self.feed })
    }
}

struct Variant<'f, 'a> {
    feed: &'f mut Feed<'a>,
    variant: u32,
}

impl<'f, 'a, 'de> EnumAccess<'de> for Variant<'f, 'a> {
    type Error = Error;
    type Variant = Content<'f, 'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Error> {
        let name: U32Deserializer<Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, Content { feed: self.feed }))
    }
}

struct Content<'f, 'a> {
    feed: &'f mut Feed<'a>,
}

impl<'de> VariantAccess<'de> for Content<'_, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Choices { feed: self.feed })
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { feed: self.feed, left })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { feed: self.feed, left: fields.len() })
    }
}
