//! Columns of lists, structs and maps.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow::datatypes::{FieldRef, Fields as ArrowFields};
use arrow::error::ArrowError;

use super::fault::Fault;
use super::fields::Fields;
use super::row_bytes::{self, RowBytes};
use super::slot::{Cells, ColumnBuilder, Slot};
use super::text::{Offsets, Strings};
use super::validity::Validity;
use crate::json::{Kind, Scanner};
use crate::schema::columns::{Column, ColumnType, Reading, arrow_fields};

#[derive(Debug)]
pub(super) struct ListBuilder {
    elements: Slot,
    count: usize,
    /// Values that each element costs.
    leaves: usize,
    offsets: Offsets,
    validity: Validity,
    field: FieldRef,
}

impl ListBuilder {
    pub(super) fn new(element: &ColumnType, reading: Reading) -> Self {
        Self {
            elements: Slot::new(element, true, reading),
            count: 0,
            leaves: element.leaves(),
            offsets: Offsets::new(),
            validity: Validity::default(),
            field: element.element_field(),
        }
    }
}

impl ColumnBuilder for ListBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault> {
        if kind != Kind::Array {
            return Err(Fault::kind(kind));
        }
        scanner.enter_array()?;
        let (mut first, start) = (true, self.count);
        while scanner.next_element(&mut first)? {
            cells.take(self.leaves)?;
            let index = self.count - start;
            self.elements.push(scanner, cells).map_err(|fault| fault.in_element(index))?;
            self.count += 1;
        }
        self.offsets.push(self.count)?;
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.count = self.offsets.truncate(len);
        self.elements.truncate(self.count);
        self.validity.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.elements.memory_bytes() + self.offsets.memory_bytes() + self.validity.memory_bytes()
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        if self.validity.is_null(index) {
            return row_bytes::write_null(row);
        }
        let span = self.offsets.span(index);
        row_bytes::write_length(span.len(), row);
        span.for_each(|element| self.elements.write(element, row));
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        let Some(length) = row.length()? else {
            self.push_null();
            return Some(());
        };
        for _ in 0..length {
            self.elements.read(row)?;
        }
        self.count += length;
        self.offsets.push(self.count).ok()?;
        self.validity.push_valid();
        Some(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.count = 0;
        let (offsets, nulls) = (self.offsets.finish(), self.validity.finish());
        Ok(Arc::new(ListArray::try_new(self.field.clone(), offsets, self.elements.finish()?, nulls)?))
    }
}

#[derive(Debug)]
pub(super) struct StructBuilder {
    fields: Fields,
    validity: Validity,
    arrow_fields: ArrowFields,
}

impl StructBuilder {
    pub(super) fn new(columns: &[Column], reading: Reading) -> Self {
        Self {
            fields: Fields::of_struct(columns, reading),
            validity: Validity::default(),
            arrow_fields: arrow_fields(columns),
        }
    }
}

impl ColumnBuilder for StructBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault> {
        if kind != Kind::Object {
            return Err(Fault::kind(kind));
        }
        self.fields.push(scanner, cells)?;
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.fields.push_hidden();
        self.validity.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.fields.truncate(len);
        self.validity.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        self.fields.memory_bytes() + self.validity.memory_bytes()
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        if self.validity.is_null(index) {
            return row_bytes::write_null(row);
        }
        row_bytes::write_presence(row);
        self.fields.write(index, row);
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        if !row.presence()? {
            self.push_null();
            return Some(());
        }
        self.fields.read(row)?;
        self.validity.push_valid();
        Some(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.fields.rows();
        let (arrays, nulls) = (self.fields.finish()?, self.validity.finish());
        Ok(Arc::new(StructArray::try_new_with_length(self.arrow_fields.clone(), arrays, nulls, rows)?))
    }
}

#[derive(Debug)]
pub(super) struct MapBuilder {
    keys: Strings,
    values: Slot,
    count: usize,
    /// Values that each entry costs, its key included.
    leaves: usize,
    offsets: Offsets,
    validity: Validity,
    field: FieldRef,
    entry_fields: ArrowFields,
}

impl MapBuilder {
    pub(super) fn new(value: &ColumnType, reading: Reading) -> Self {
        Self {
            keys: Strings::default(),
            values: Slot::new(value, true, reading),
            count: 0,
            leaves: 1 + value.leaves(),
            offsets: Offsets::new(),
            validity: Validity::default(),
            field: value.entries_field(),
            entry_fields: value.entry_fields(),
        }
    }
}

impl ColumnBuilder for MapBuilder {
    fn push(&mut self, kind: Kind, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault> {
        if kind != Kind::Object {
            return Err(Fault::kind(kind));
        }
        scanner.enter_object()?;
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            cells.take(self.leaves)?;
            self.keys.push(key)?;
            self.values.push(scanner, cells).map_err(|fault| fault.in_key(&key.decode()))?;
            self.count += 1;
        }
        self.offsets.push(self.count)?;
        self.validity.push_valid();
        Ok(())
    }

    fn push_null(&mut self) {
        self.offsets.push_empty();
        self.validity.push_null();
    }

    fn truncate(&mut self, len: usize) {
        self.count = self.offsets.truncate(len);
        self.keys.truncate(self.count);
        self.values.truncate(self.count);
        self.validity.truncate(len);
    }

    fn memory_bytes(&self) -> usize {
        let own = self.offsets.memory_bytes() + self.validity.memory_bytes();
        self.keys.memory_bytes() + self.values.memory_bytes() + own
    }

    fn write(&self, index: usize, row: &mut Vec<u8>) {
        if self.validity.is_null(index) {
            return row_bytes::write_null(row);
        }
        let span = self.offsets.span(index);
        row_bytes::write_length(span.len(), row);
        for entry in span {
            self.keys.write(entry, row);
            self.values.write(entry, row);
        }
    }

    fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        let Some(length) = row.length()? else {
            self.push_null();
            return Some(());
        };
        for _ in 0..length {
            self.keys.read(row)?;
            self.values.read(row)?;
        }
        self.count += length;
        self.offsets.push(self.count).ok()?;
        self.validity.push_valid();
        Some(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.count = 0;
        let arrays: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()?), self.values.finish()?];
        let entries = StructArray::try_new(self.entry_fields.clone(), arrays, None)?;
        let (offsets, nulls) = (self.offsets.finish(), self.validity.finish());
        Ok(Arc::new(MapArray::try_new(self.field.clone(), offsets, entries, nulls, false)?))
    }
}
