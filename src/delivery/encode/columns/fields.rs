//! The fields of an object: of the record itself, or of a struct inside it.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::fault::Fault;
use super::row_bytes::RowBytes;
use super::slot::{Cells, Slot};
use crate::json::{RawString, Scanner};
use crate::schema::columns::{Column, Reading};
use crate::schema::inference::holds_nothing;

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
    /// Whether a key without a field makes the object one that does not fit, unless its value holds nothing.
    closed: bool,
}

#[derive(Debug)]
struct Field {
    key: Box<str>,
    /// The key in quotes, as JSON has it where nothing in it is escaped.
    quoted: Box<str>,
    slot: Slot,
    /// The last object that had this field.
    object: u64,
    /// The first field of the same key: itself, mostly.
    first: usize,
    /// The next one, which takes what this one does not.
    other: Option<usize>,
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
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        let mut firsts: HashMap<&str, usize> = HashMap::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let first = *firsts.entry(column.key()).or_insert(index);
            let mut before = Some(first).filter(|first| *first != index);
            while let Some(field) = before.and_then(|before| fields.get_mut(before)) {
                before = field.other;
                field.other.get_or_insert(index);
            }
            fields.push(Field {
                key: column.key().into(),
                quoted: serde_json::Value::from(column.key()).to_string().into(),
                slot: Slot::new(&column.column_type, column.nullable, reading(column)),
                object: 0,
                first,
                other: None,
            });
        }
        let keys = || firsts.iter().map(|(key, index)| ((*key).into(), *index));
        let by_key = (columns.len() > SEARCHED_FIELDS_MAX).then(|| keys().collect());
        // There are no columns only before any was learned.
        let closed = columns.iter().all(|column| reading(column).coercion.is_learned());
        Self { fields, by_key, rows: 0, object: 0, closed }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
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
                        self.leave_out(key, scanner)?;
                        continue;
                    };
                    index
                }
            };
            let field = &mut self.fields[index];
            if field.first != index || field.other.is_some() {
                self.push_to_one_of(index, scanner, cells)?;
                filled += 1;
                next = index + 1;
                continue;
            }
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

    /// Passes over a value whose key has no field.
    fn leave_out(&self, key: RawString<'_>, scanner: &mut Scanner<'_>) -> Result<(), Fault> {
        if !self.closed {
            return Ok(scanner.skip_value()?);
        }
        let kind = scanner.peek()?;
        if holds_nothing(scanner)? {
            return Ok(());
        }
        Err(Fault::kind(kind).expecting("no such field").in_key(&key.decode()))
    }

    /// Consumes the value of a key that has several fields: the first that takes it has it.
    #[cold]
    fn push_to_one_of(
        &mut self,
        index: usize,
        scanner: &mut Scanner<'_>,
        cells: &mut Cells,
    ) -> Result<(), Fault> {
        let (rows, object) = (self.rows, self.object);
        let mut at = self.fields.get(index).map(|field| field.first);
        let (mut fault, mut taken) = (None, false);
        let (before, cells_before) = (scanner.clone(), cells.taken());
        while let Some(field) = at.and_then(|at| self.fields.get_mut(at)) {
            at = field.other;
            if field.object == object {
                return Err(Fault::found("the key twice").expecting("one value").in_key(&field.key));
            }
            if taken {
                continue;
            }
            let mut attempt = before.clone();
            match field.slot.push(&mut attempt, cells) {
                Ok(()) => {
                    *scanner = attempt;
                    taken = true;
                    field.object = object;
                }
                Err(found) => {
                    field.slot.truncate(rows);
                    cells.give_back_to(cells_before);
                    fault = fault.or_else(|| Some(found.in_key(&field.key)));
                }
            }
        }
        fault.filter(|_| !taken).map_or(Ok(()), Err)
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

    /// Writes an object behind `row`.
    pub(super) fn write(&self, index: usize, row: &mut Vec<u8>) {
        self.fields.iter().for_each(|field| field.slot.write(index, row));
    }

    /// Adds an object that [`Fields::write`] has written. `None` if it has not.
    pub(super) fn read(&mut self, row: &mut RowBytes<'_>) -> Option<()> {
        self.rows += 1;
        self.fields.iter_mut().try_for_each(|field| field.slot.read(row))
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.rows = 0;
        self.fields.iter_mut().map(|field| field.slot.finish()).collect()
    }
}
