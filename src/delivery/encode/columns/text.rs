//! Columns of strings, of bytes, and of JSON kept as its text.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::error::ArrowError;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fault::Fault;
use super::lenient;
use super::row_bytes::{self, RowBytes};
use super::slot::{Cells, ColumnBuilder};
use super::validity::Validity;
use crate::json::{Kind, RawString, Scanner};
use crate::schema::columns::Coercion;

/// Where each of some values ends in the buffer that they share.
#[derive(Debug)]
pub(super) struct Offsets(Vec<i32>);

impl Offsets {
    pub(super) fn new() -> Self {
        Self(vec![0])
    }

    /// Adds a value that ends at `end`. A batch is closed long before 2 GiB, so only a record of that size can fail.
    #[inline]
    pub(super) fn push(&mut self, end: usize) -> Result<(), Fault> {
        let end = i32::try_from(end).map_err(|_| Fault::found("more than 2 GiB in one column"))?;
        self.0.push(end);
        Ok(())
    }

    /// Adds an empty value.
    pub(super) fn push_empty(&mut self) {
        self.0.extend_from_within(self.0.len() - 1..);
    }

    /// Cuts back to `len` values; returns where the last of them ends.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        // Never negative: ends come from `usize`.
        self.0.last().map_or(0, |end| *end as usize)
    }

    /// Where a value lies in the buffer.
    #[inline]
    pub(super) fn span(&self, index: usize) -> Range<usize> {
        match self.0.get(index..index + 2) {
            // Never negative: ends come from `usize`.
            Some(&[start, end]) => start as usize..end as usize,
            _ => 0..0,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<i32>()
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(std::mem::replace(self, Self::new()).0.into())
    }
}

/// Strings one behind the other.
#[derive(Debug)]
pub(super) struct Strings {
    /// UTF-8, which Arrow checks for the whole column when it is finished.
    values: Vec<u8>,
    offsets: Offsets,
    validity: Validity,
}

impl Default for Strings {
    fn default() -> Self {
        Self { values: Vec::new(), offsets: Offsets::new(), validity: Validity::default() }
    }
}

impl Strings {
    #[inline]
    fn push_verbatim(&mut self, text: &str) -> Result<(), Fault> {
        self.values.extend_from_slice(text.as_bytes());
        self.push_end()
    }

    #[inline]
    pub(super) fn push(&mut self, text: RawString<'_>) -> Result<(), Fault> {
        text.decode_into_bytes(&mut self.values);
        self.push_end()
    }

    #[inline]
    fn push_end(&mut self) -> Result<(), Fault> {
        self.offsets.push(self.values.len())?;
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(self.offsets.truncate(len));
        self.validity.truncate(len);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() + self.offsets.memory_bytes() + self.validity.memory_bytes()
    }

    #[inline]
    pub(super) fn write(&self, index: usize, row: &mut Vec<u8>) {
        write_bytes(&self.values, (&self.offsets, &self.validity), index, row);
    }

    #[inline]
    pub(super) fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        match row.length()? {
            Some(length) => {
                self.values.extend_from_slice(row.take(length)?);
                self.push_end().ok()?;
            }
            None => self.push_null(),
        }
        Some(())
    }

    pub(super) fn finish(&mut self) -> Result<StringArray, ArrowError> {
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        StringArray::try_new(self.offsets.finish(), values, self.validity.finish())
    }
}

#[inline]
fn write_bytes(values: &[u8], (offsets, validity): (&Offsets, &Validity), index: usize, row: &mut Vec<u8>) {
    match values.get(offsets.span(index)).filter(|_| !validity.is_null(index)) {
        Some(value) => {
            row_bytes::write_length(value.len(), row);
            row.extend_from_slice(value);
        }
        None => row_bytes::write_null(row),
    }
}

#[derive(Debug)]
pub(super) struct StringBuilder {
    values: Strings,
    coercion: Coercion,
}

impl StringBuilder {
    pub(super) fn new(coercion: Coercion) -> Self {
        Self { values: Strings::default(), coercion }
    }
}

impl ColumnBuilder for StringBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        match kind {
            Kind::String => self.values.push(scanner.string()?),
            other => self.values.push_verbatim(lenient::text(self.coercion, other, scanner)?),
        }
    }

    fn push_null(&mut self) {
        self.values.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        self.values.write(index, row);
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        self.values.read(row)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.values.finish()?))
    }
}

#[derive(Debug, Default)]
pub(super) struct JsonBuilder(Strings);

impl ColumnBuilder for JsonBuilder {
    fn push(&mut self, _: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        let start = scanner.position();
        scanner.skip_value()?;
        self.0.push_verbatim(&scanner.text()[start..scanner.position()])
    }

    fn push_null(&mut self) {
        self.0.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        self.0.write(index, row);
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        self.0.read(row)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.0.finish()?))
    }
}

/// Many encoders leave the padding out, and nothing is ambiguous without it.
const PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDING);

const BASE64_FOR_URLS: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDING);

#[derive(Debug)]
pub(super) struct BinaryBuilder {
    values: Vec<u8>,
    offsets: Offsets,
    validity: Validity,
    coercion: Coercion,
}

impl BinaryBuilder {
    pub(super) fn new(coercion: Coercion) -> Self {
        Self { values: Vec::new(), offsets: Offsets::new(), validity: Validity::default(), coercion }
    }

    /// Decodes with the standard alphabet, or, where that is allowed, with the one for URLs.
    fn decode(&mut self, text: &[u8]) -> bool {
        let start = self.values.len();
        if BASE64.decode_vec(text, &mut self.values).is_ok() {
            return true;
        }
        self.values.truncate(start);
        self.coercion == Coercion::Lenient && BASE64_FOR_URLS.decode_vec(text, &mut self.values).is_ok()
    }
}

impl ColumnBuilder for BinaryBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, _: &mut Cells) -> Result<(), Fault> {
        if kind != Kind::String {
            return Err(Fault::kind(kind));
        }
        let text = scanner.string()?.decode();
        if !self.decode(text.as_bytes()) {
            return Err(Fault::found("a string that is no base64"));
        }
        self.offsets.push(self.values.len())?;
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(self.offsets.truncate(len));
        self.validity.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() + self.offsets.memory_bytes() + self.validity.memory_bytes()
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        write_bytes(&self.values, (&self.offsets, &self.validity), index, row);
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        match row.length()? {
            Some(length) => {
                self.values.extend_from_slice(row.take(length)?);
                self.offsets.push(self.values.len()).ok()?;
                self.validity.push_valid();
            }
            None => self.push_null(),
        }
        Some(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        Ok(Arc::new(BinaryArray::try_new(self.offsets.finish(), values, self.validity.finish())?))
    }
}
