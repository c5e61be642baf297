//! Requests of few members: typed by serde.

use std::borrow::Cow;

use minicbor::data::Type;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::{CborError, Items, Reader, TIME_TAG};

/// Reads one value that fills `bytes`. A time is given to serde as seconds, as it stands in JSON.
///
/// # Errors
/// If it is no CBOR, nested too deep, or not of the shape.
pub fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CborError> {
    let mut reader = Reader::new(bytes);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = CborError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        match self.peek()? {
            Type::Bool => visitor.visit_bool(self.bool()?),
            Type::Null | Type::Undefined => {
                self.take_null()?;
                visitor.visit_unit()
            }
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.decoder.u64()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.decoder.i64()?),
            Type::F16 | Type::F32 | Type::F64 => visitor.visit_f64(self.decoder.f64()?),
            Type::String | Type::StringIndef => match self.text()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Type::Bytes | Type::BytesIndef => match self.bytes()? {
                Cow::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
                Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
            },
            Type::Array | Type::ArrayIndef => {
                let items = self.enter_array()?;
                visitor.visit_seq(Members { reader: self, items })
            }
            Type::Map | Type::MapIndef => {
                let items = self.enter_map()?;
                visitor.visit_map(Members { reader: self, items })
            }
            Type::Tag => self.tagged(visitor),
            Type::Int | Type::Simple | Type::Break | Type::Unknown(_) => {
                Err(self.unexpected("a value of a request"))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        if self.take_null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CborError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CborError> {
        let name = self.text()?.into_owned();
        visitor.visit_enum(name.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl<'a> Reader<'a> {
    /// A time, or whatever stands behind another tag.
    fn tagged<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, CborError> {
        if self.decoder.tag()? == TIME_TAG {
            let millis = match self.peek()? {
                Type::F16 | Type::F32 | Type::F64 => self.decoder.f64()?,
                _ => self.decoder.i64()? as f64,
            };
            return visitor.visit_f64(millis / 1_000.0);
        }
        self.deeper()?;
        let value = (&mut *self).deserialize_any(visitor)?;
        self.depth -= 1;
        Ok(value)
    }
}

/// The members of a map or the elements of an array.
struct Members<'r, 'a> {
    reader: &'r mut Reader<'a>,
    items: Items,
}

impl<'a> SeqAccess<'a> for Members<'_, 'a> {
    type Error = CborError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, CborError> {
        match self.reader.next_item(&mut self.items)? {
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }
}

impl<'a> MapAccess<'a> for Members<'_, 'a> {
    type Error = CborError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, CborError> {
        match self.reader.next_item(&mut self.items)? {
            // A number would be taken for the place of a member.
            true if !matches!(self.reader.peek()?, Type::String | Type::StringIndef) => {
                Err(self.reader.unexpected("the name of a member"))
            }
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, CborError> {
        seed.deserialize(&mut *self.reader)
    }
}
