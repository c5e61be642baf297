//! Writing Protocol Buffers (wire format: protobuf.dev/programming-guides/encoding): the little that ORC needs.
//!
//! The messages are built field by field where their content is known, so there is no second set of types to keep
//! in step with the format's `orc_proto.proto`; each call names the field by its number there.

/// A message under construction.
#[derive(Debug, Default, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
}

impl Message {
    /// Without any field.
    pub const EMPTY: Self = Self { bytes: Vec::new() };

    /// A field of type `uint64`, `uint32`, `int32` (not negative) or of an enum.
    pub fn uint(&mut self, field: u32, value: u64) -> &mut Self {
        self.tag(field, Wire::Varint);
        put_varint(&mut self.bytes, value);
        self
    }

    /// A field of type `sint64` or `sint32`.
    pub fn sint(&mut self, field: u32, value: i64) -> &mut Self {
        self.uint(field, zigzag(value))
    }

    /// A field of type `double`.
    pub fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.tag(field, Wire::Fixed64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A field of type `bytes` or `string`.
    pub fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.tag(field, Wire::Length);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// A field that is itself a message.
    pub fn message(&mut self, field: u32, value: &Message) -> &mut Self {
        self.bytes(field, &value.bytes)
    }

    /// A field of type `repeated uint64 [packed = true]`; left out where it is empty.
    pub fn packed(&mut self, field: u32, values: &[u64]) -> &mut Self {
        if values.is_empty() {
            return self;
        }
        let mut packed = Vec::with_capacity(values.len() * 2);
        values.iter().for_each(|value| put_varint(&mut packed, *value));
        self.bytes(field, &packed)
    }

    /// The fields of another message.
    pub fn append(&mut self, other: &Message) -> &mut Self {
        self.bytes.extend_from_slice(&other.bytes);
        self
    }

    /// The message as it is stored.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        put_varint(&mut self.bytes, u64::from(field) << 3 | wire as u64);
    }
}

/// Appends `value` in base 128: seven bits a byte, lowest first, the high bit set on all but the last.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign as small numbers: 0, -1, 1, -2 … become 0, 1, 2, 3 …
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_those_of_the_specification() {
        for (value, stored) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_385, &[0x81, 0x80, 0x01]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, stored);
        }
        let zigzags: Vec<_> = [0, -1, 1, -2, 2, i64::MAX, i64::MIN].map(zigzag).into();
        assert_eq!(zigzags, [0, 1, 2, 3, 4, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn fields_are_tagged_with_number_and_wire_type() {
        let mut inner = Message::default();
        inner.uint(1, 150);
        let mut message = Message::default();
        message
            .sint(2, -1)
            .double(3, 1.0)
            .packed(4, &[3, 270])
            .packed(5, &[])
            .message(6, &inner)
            .bytes(8_000, b"ORC");
        let expected = [
            &[0x10, 1][..],
            &[0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
            &[0x22, 3, 3, 0x8e, 2],
            &[0x32, 3, 0x08, 0x96, 0x01],
            &[0x82, 0xf4, 0x03, 3, b'O', b'R', b'C'],
        ];
        assert_eq!(message.as_slice(), expected.concat());
    }
}
