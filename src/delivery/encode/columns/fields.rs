//! The fields of an object: of the record itself, or of a struct inside it.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::fault::Fault;
use super::slot::{Cells, Slot};
use crate::json::{RawString, Scanner};
use crate::schema::columns::{Column, Reading};

/// Fields up to which a key out of order is compared with each of them; above it, it is looked up by its hash.
const SEARCHED_FIELDS_MAX: usize = 16;

/// Places for the values of an object's fields. Producers write the fields of their events in one order, mostly
/// that of the schema; so the field behind the last one is tried first, by its bytes, before any search.
#[derive(Debug)]
pub(super) struct Fields {
    fields: Vec<Field>,
    by_key: Option<HashMap<Box<str>, usize, foldhash::fast::RandomState>>,
    rows: usize,
    /// The number of objects read so far, those that did not fit included.
    object: u64,
}

#[derive(Debug)]
struct Field {
    key: Box<str>,
    /// The key in quotes, as JSON has it where nothing in it is escaped.
    quoted: Box<str>,
    slot: Slot,
    /// The last object that had this field.
    object: u64,
}

impl Fields {
    /// Those of a record, each read in its own way.
    pub(super) fn of_record(columns: &[Column]) -> Self {
        Self::new(columns, |column| column.reading)
    }

    /// Those of a struct, read as the column around it.
    pub(super) fn of_struct(columns: &[Column], reading: Reading) -> Self {
        Self::new(columns, |_| reading)
    }

    fn new(columns: &[Column], reading: impl Fn(&Column) -> Reading) -> Self {
        let field = |column: &Column| Field {
            key: column.key().into(),
            quoted: serde_json::Value::from(column.key()).to_string().into(),
            slot: Slot::new(&column.column_type, column.nullable, reading(column)),
            object: 0,
        };
        let keys = || columns.iter().enumerate().map(|(index, column)| (column.key().into(), index));
        let by_key = (columns.len() > SEARCHED_FIELDS_MAX).then(|| keys().collect());
        Self { fields: columns.iter().map(field).collect(), by_key, rows: 0, object: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Consumes one object.
    pub(super) fn push(&mut self, scanner: &mut Scanner<'_>, cells: &mut Cells) -> Result<(), Fault> {
        scanner.enter_object()?;
        self.object += 1;
        let (mut first, mut next, mut filled) = (true, 0, 0);
        loop {
            let index = match self.fields.get(next) {
                Some(field) if scanner.take_key(&mut first, &field.quoted) => next,
                _ => {
                    let Some(key) = scanner.next_key(&mut first)? else { break };
                    let Some(index) = self.find(key, next) else {
                        scanner.skip_value()?;
                        continue;
                    };
                    index
                }
            };
            let field = &mut self.fields[index];
            if field.object == self.object {
                return Err(Fault::found("the key twice").expecting("one value").in_key(&field.key));
            }
            field.object = self.object;
            field.slot.push(scanner, cells).map_err(|fault| fault.in_key(&field.key))?;
            filled += 1;
            next = index + 1;
        }
        if filled < self.fields.len() {
            self.fill_missing()?;
        }
        self.rows += 1;
        Ok(())
    }

    fn find(&self, key: RawString<'_>, next: usize) -> Option<usize> {
        if let Some(by_key) = &self.by_key {
            return by_key.get(&*key.decode()).copied();
        }
        let (before, behind) = self.fields.split_at_checked(next).unwrap_or((&self.fields, &[]));
        let among = |fields: &[Field]| fields.iter().position(|field| key.equals(&field.key));
        among(behind).map(|index| next + index).or_else(|| among(before))
    }

    fn fill_missing(&mut self) -> Result<(), Fault> {
        for field in self.fields.iter_mut().filter(|field| field.object != self.object) {
            field.slot.push_missing("nothing").map_err(|fault| fault.in_key(&field.key))?;
        }
        Ok(())
    }

    /// Adds an object that is not there, because what surrounds it is null.
    pub(super) fn push_hidden(&mut self) {
        self.fields.iter_mut().for_each(|field| field.slot.push_hidden());
        self.rows += 1;
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.fields.iter_mut().for_each(|field| field.slot.truncate(rows));
        self.rows = rows.min(self.rows);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.fields.iter().map(|field| field.slot.memory_bytes()).sum()
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.rows = 0;
        self.fields.iter_mut().map(|field| field.slot.finish()).collect()
    }
}
