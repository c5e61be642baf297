//! Replies: what serde has, as CBOR.

use std::convert::Infallible;

use minicbor::Encoder;
use serde::Serialize;
use serde::ser::{Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, Serializer};

use super::{CborError, TIME_TAG};
use crate::edge::aws::protocol::values::TIME_NAME;

/// Writes one value.
///
/// # Errors
/// If the value is of a kind that no reply has, or says so itself.
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, CborError> {
    let mut encoder = Encoder::new(Vec::new());
    value.serialize(Writer(&mut encoder))?;
    Ok(encoder.into_writer())
}

struct Writer<'e>(&'e mut Encoder<Vec<u8>>);

type Written<'e> = Result<&'e mut Encoder<Vec<u8>>, minicbor::encode::Error<Infallible>>;

/// Writing to a vector cannot fail.
fn done(written: Written<'_>) -> Result<(), CborError> {
    written.map(drop).map_err(|error| CborError(error.to_string()))
}

fn none<T>() -> Result<T, CborError> {
    Err(CborError("a kind of value that no reply has".to_owned()))
}

/// An array or map of which not all is written.
struct Open<'e> {
    encoder: &'e mut Encoder<Vec<u8>>,
    /// Its end has to be marked, because its length was not known.
    is_marked: bool,
}

impl Open<'_> {
    fn close(self) -> Result<(), CborError> {
        if self.is_marked { done(self.encoder.end()) } else { Ok(()) }
    }
}

macro_rules! plain {
    ($($method:ident($type:ty) = $write:ident;)*) => {
        $(fn $method(self, value: $type) -> Result<(), CborError> {
            done(self.0.$write(value.into()))
        })*
    };
}

impl<'e> Serializer for Writer<'e> {
    type Ok = ();
    type Error = CborError;
    type SerializeSeq = Open<'e>;
    type SerializeMap = Open<'e>;
    type SerializeStruct = Open<'e>;
    type SerializeTuple = Open<'e>;
    type SerializeTupleStruct = Impossible<(), CborError>;
    type SerializeTupleVariant = Impossible<(), CborError>;
    type SerializeStructVariant = Impossible<(), CborError>;

    plain! {
        serialize_i8(i8) = i64;
        serialize_i16(i16) = i64;
        serialize_i32(i32) = i64;
        serialize_u8(u8) = u64;
        serialize_u16(u16) = u64;
        serialize_u32(u32) = u64;
        serialize_f32(f32) = f64;
    }

    fn serialize_bool(self, value: bool) -> Result<(), CborError> {
        done(self.0.bool(value))
    }

    fn serialize_i64(self, value: i64) -> Result<(), CborError> {
        done(self.0.i64(value))
    }

    fn serialize_u64(self, value: u64) -> Result<(), CborError> {
        done(self.0.u64(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), CborError> {
        done(self.0.f64(value))
    }

    fn serialize_char(self, value: char) -> Result<(), CborError> {
        done(self.0.str(value.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, value: &str) -> Result<(), CborError> {
        done(self.0.str(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), CborError> {
        done(self.0.bytes(value))
    }

    fn serialize_none(self) -> Result<(), CborError> {
        done(self.0.null())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CborError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), CborError> {
        done(self.0.null())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CborError> {
        done(self.0.map(0))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), CborError> {
        done(self.0.str(name))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CborError> {
        if name == TIME_NAME {
            done(self.0.tag(TIME_TAG))?;
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), CborError> {
        none()
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Open<'e>, CborError> {
        match length {
            Some(length) => done(self.0.array(length as u64))?,
            None => done(self.0.begin_array())?,
        }
        Ok(Open { encoder: self.0, is_marked: length.is_none() })
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Open<'e>, CborError> {
        match length {
            Some(length) => done(self.0.map(length as u64))?,
            None => done(self.0.begin_map())?,
        }
        Ok(Open { encoder: self.0, is_marked: length.is_none() })
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Open<'e>, CborError> {
        self.serialize_map(Some(length))
    }

    /// An array of Rust, whose length is part of its type.
    fn serialize_tuple(self, length: usize) -> Result<Open<'e>, CborError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, CborError> {
        none()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, CborError> {
        none()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, CborError> {
        none()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl SerializeSeq for Open<'_> {
    type Ok = ();
    type Error = CborError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CborError> {
        value.serialize(Writer(self.encoder))
    }

    fn end(self) -> Result<(), CborError> {
        self.close()
    }
}

impl SerializeTuple for Open<'_> {
    type Ok = ();
    type Error = CborError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CborError> {
        value.serialize(Writer(self.encoder))
    }

    fn end(self) -> Result<(), CborError> {
        self.close()
    }
}

impl SerializeMap for Open<'_> {
    type Ok = ();
    type Error = CborError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CborError> {
        key.serialize(Writer(self.encoder))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CborError> {
        value.serialize(Writer(self.encoder))
    }

    fn end(self) -> Result<(), CborError> {
        self.close()
    }
}

impl SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = CborError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CborError> {
        done(self.encoder.str(name))?;
        value.serialize(Writer(self.encoder))
    }

    fn end(self) -> Result<(), CborError> {
        self.close()
    }
}
