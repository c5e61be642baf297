//! CBOR (RFC 8949) as the SDKs for Java send it: a pull reader that builds no tree.
//!
//! What a length in the input says is never allocated before that many bytes are there, and nesting is bounded, so that
//! a few bytes cannot ask for gigabytes.

mod read;
mod write;

use std::borrow::Cow;
use std::fmt;

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

pub use read::from_slice;
pub use write::to_vec;

/// Nesting of arrays, maps and tags. The deepest request of the services has five levels.
const DEPTH_MAX: usize = 32;

/// A point in time: milliseconds since 1970 as an integer, as the SDKs write and read it. (RFC 8949 would have seconds
/// behind this tag.)
const TIME_TAG: Tag = Tag::new(1);

/// Why bytes are no CBOR, or not of the wanted shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CborError(String);

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CborError {}

impl From<minicbor::decode::Error> for CborError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self(error.to_string())
    }
}

impl serde::de::Error for CborError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::ser::Error for CborError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// What is left of an array or a map that was entered; `None` where its end is marked.
#[derive(Debug)]
pub struct Items(Option<u64>);

/// Reads values one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    decoder: Decoder<'a>,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// At the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(bytes), depth: 0 }
    }

    /// An error at the current byte.
    #[cold]
    pub fn error(&self, what: impl fmt::Display) -> CborError {
        CborError(format!("{what} at byte {}", self.decoder.position()))
    }

    fn peek(&self) -> Result<Type, CborError> {
        Ok(self.decoder.datatype()?)
    }

    /// What comes next, for a message.
    #[cold]
    fn unexpected(&self, wanted: &str) -> CborError {
        match self.peek() {
            Ok(found) => self.error(format_args!("{found} can not be converted to {wanted}")),
            Err(error) => error,
        }
    }

    fn deeper(&mut self) -> Result<(), CborError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(format_args!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        Ok(())
    }

    /// Consumes the beginning of a map. Read its members with [`Reader::next_item`], then key and value.
    pub fn enter_map(&mut self) -> Result<Items, CborError> {
        match self.peek()? {
            Type::Map | Type::MapIndef => {}
            _ => return Err(self.unexpected("a structure")),
        }
        self.deeper()?;
        Ok(Items(self.decoder.map()?))
    }

    /// Consumes the beginning of an array. Read its elements with [`Reader::next_item`], then the value.
    pub fn enter_array(&mut self) -> Result<Items, CborError> {
        match self.peek()? {
            Type::Array | Type::ArrayIndef => {}
            _ => return Err(self.unexpected("a list")),
        }
        self.deeper()?;
        Ok(Items(self.decoder.array()?))
    }

    /// Whether another item comes; leaves the array or map if not.
    pub fn next_item(&mut self, items: &mut Items) -> Result<bool, CborError> {
        let is_there = match &mut items.0 {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None if self.peek()? == Type::Break => {
                self.decoder.set_position(self.decoder.position() + 1);
                false
            }
            None => true,
        };
        if !is_there {
            self.depth -= 1;
        }
        Ok(is_there)
    }

    /// Consumes a null, if that is what comes.
    pub fn take_null(&mut self) -> Result<bool, CborError> {
        match self.peek()? {
            Type::Null => self.decoder.null()?,
            Type::Undefined => self.decoder.undefined()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Consumes a text. One in several pieces is put together.
    pub fn text(&mut self) -> Result<Cow<'a, str>, CborError> {
        match self.peek()? {
            Type::String => Ok(Cow::Borrowed(self.decoder.str()?)),
            Type::StringIndef => {
                let pieces = self.decoder.str_iter()?.collect::<Result<String, _>>()?;
                Ok(Cow::Owned(pieces))
            }
            _ => Err(self.unexpected("a String")),
        }
    }

    /// Consumes bytes. Those in several pieces are put together.
    pub fn bytes(&mut self) -> Result<Cow<'a, [u8]>, CborError> {
        match self.peek()? {
            Type::Bytes => Ok(Cow::Borrowed(self.decoder.bytes()?)),
            Type::BytesIndef => {
                let mut bytes = Vec::new();
                for piece in self.decoder.bytes_iter()? {
                    bytes.extend_from_slice(piece?);
                }
                Ok(Cow::Owned(bytes))
            }
            _ => Err(self.unexpected("a Blob")),
        }
    }

    /// Consumes `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        match self.peek()? {
            Type::Bool => Ok(self.decoder.bool()?),
            _ => Err(self.unexpected("a Boolean")),
        }
    }

    /// Consumes a value of any kind.
    pub fn skip(&mut self) -> Result<(), CborError> {
        match self.peek()? {
            Type::Map | Type::MapIndef => {
                let mut items = self.enter_map()?;
                while self.next_item(&mut items)? {
                    self.skip()?;
                    self.skip()?;
                }
            }
            Type::Array | Type::ArrayIndef => {
                let mut items = self.enter_array()?;
                while self.next_item(&mut items)? {
                    self.skip()?;
                }
            }
            Type::Tag => {
                self.decoder.tag()?;
                self.deeper()?;
                self.skip()?;
                self.depth -= 1;
            }
            Type::Bytes => drop(self.decoder.bytes()?),
            Type::String => drop(self.decoder.str()?),
            Type::BytesIndef => drop(self.bytes()?),
            Type::StringIndef => drop(self.text()?),
            Type::Break | Type::Unknown(_) => return Err(self.unexpected("a value")),
            _ => self.decoder.skip()?,
        }
        Ok(())
    }

    /// Nothing may come any more.
    pub fn end(&self) -> Result<(), CborError> {
        if self.decoder.position() == self.decoder.input().len() {
            return Ok(());
        }
        Err(self.error("unexpected bytes behind the request"))
    }
}

#[cfg(test)]
mod tests;
