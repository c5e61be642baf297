//! As much of Kafka's wire format as the proxy needs: <https://kafka.apache.org/protocol>.

use std::io;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of one message: Kafka's own bound for requests (`socket.request.max.bytes`) is 100 MiB.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// Reads a message: its bytes behind its length; `None` at the end of the connection.
pub(super) async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let Some(length) = length else { return Err(io::Error::other("not a message of Kafka's protocol")) };
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

/// Reads fields one after the other; `None` where the bytes end before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn int16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// `UNSIGNED_VARINT`.
    pub(super) fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// `STRING` and `NULLABLE_STRING`, with its length in front.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = usize::try_from(ahead.int16()?).unwrap_or(0);
        self.take(2 + length)
    }

    /// `BYTES` and `NULLABLE_BYTES`, without the length.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int32()?).unwrap_or(0);
        self.take(length)
    }

    /// The number of elements of an `ARRAY`; of one that is null, 0.
    pub(super) fn length(&mut self) -> Option<usize> {
        Some(usize::try_from(self.int32()?).unwrap_or(0))
    }

    /// Passes over tagged fields.
    pub(super) fn tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let bytes = self.varint()?;
            self.take(bytes as usize)?;
        }
        Some(())
    }
}

pub(super) fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(text.as_bytes());
}

pub(super) fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value > 0x7f {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// What stands at the begin of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) correlation: i32,
}

impl Head {
    /// Reads it, and leaves the fields behind it: the client's name and the body.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self { api: fields.int16()?, version: fields.int16()?, correlation: fields.int32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            let mut fields = Fields(&out);
            assert_eq!((fields.varint(), fields.0.len()), (Some(value), 0));
        }
        assert_eq!(Fields(&[0x80; 6]).varint(), None);
        assert_eq!(Fields(&[0x80]).varint(), None);
    }

    #[test]
    fn fields_end_where_the_bytes_do() {
        assert_eq!(Fields(&[0, 5, b'a']).string(), None);
        assert_eq!(Fields(&[0xff, 0xff, b'a']).string(), Some(&[0xff, 0xff][..]));
        assert_eq!(Fields(&[0, 0, 0, 9]).bytes(), None);
        assert_eq!(Fields(&[0, 0, 0]).length(), None);
        assert_eq!(Fields(&[1, 0, 3, 1]).tags(), None);
    }
}
