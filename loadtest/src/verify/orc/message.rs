//! Reading Protocol Buffers (wire format: protobuf.dev/programming-guides/encoding).

use super::NotRead;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a width that none of the fields here has.
    Other,
}

/// The fields of a message, with their numbers.
pub(super) fn fields(mut message: &[u8]) -> Result<Vec<(u64, Value<'_>)>, NotRead> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let value = match tag & 7 {
            0 => Value::Number(take_varint(&mut message)?),
            1 => take(&mut message, 8).map(|_| Value::Other)?,
            2 => {
                let length = take_varint(&mut message)?;
                Value::Bytes(take(&mut message, usize::try_from(length).map_err(|_| NotRead::Short)?)?)
            }
            5 => take(&mut message, 4).map(|_| Value::Other)?,
            _ => return Err(NotRead::Malformed("a message")),
        };
        fields.push((tag >> 3, value));
    }
    Ok(fields)
}

/// The number in field `wanted`; 0 if it is not there, as the format has it.
pub(super) fn number(fields: &[(u64, Value<'_>)], wanted: u64) -> u64 {
    let numbers = fields.iter().rev().filter(|(field, _)| *field == wanted);
    numbers
        .filter_map(|(_, value)| if let Value::Number(number) = value { Some(*number) } else { None })
        .next()
        .unwrap_or_default()
}

/// The messages or texts in the repeated field `wanted`.
pub(super) fn repeated<'a>(fields: &[(u64, Value<'a>)], wanted: u64) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(field, _)| *field == wanted).filter_map(|(_, value)| match value {
        Value::Bytes(bytes) => Some(*bytes),
        _ => None,
    })
}

/// The numbers in the packed field `wanted`.
pub(super) fn packed(fields: &[(u64, Value<'_>)], wanted: u64) -> Result<Vec<u64>, NotRead> {
    let mut numbers = Vec::new();
    for mut bytes in repeated(fields, wanted) {
        while !bytes.is_empty() {
            numbers.push(take_varint(&mut bytes)?);
        }
    }
    Ok(numbers)
}

/// The next `count` bytes.
pub(super) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], NotRead> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(NotRead::Short)?;
    *bytes = rest;
    Ok(taken)
}

/// The next number in base 128.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Result<u64, NotRead> {
    u64::try_from(take_wide_varint(bytes)?).map_err(|_| NotRead::Malformed("a number"))
}

/// The same of up to 128 bits.
pub(super) fn take_wide_varint(bytes: &mut &[u8]) -> Result<u128, NotRead> {
    let mut value = 0;
    for shift in (0..u128::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(NotRead::Short)?;
        *bytes = rest;
        value |= u128::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(NotRead::Malformed("a number"))
}
