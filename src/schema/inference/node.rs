//! Columns as a tree that can be widened.

use std::borrow::Cow;
use std::collections::HashMap;

use super::names;
use super::shape::Shape;
use crate::schema::columns::{Coercion, Column, ColumnType, Reading, TimeUnit};

/// What a column, or what is inside it, can hold.
// Of these and what is inside them only tests make copies.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(Clone))]
pub(super) enum Node {
    Bool,
    /// `wide` if an integer among those that this tree has seen is not exact as a double.
    Integer {
        wide: bool,
    },
    Float,
    Date,
    Timestamp,
    String,
    List(Box<Node>),
    Struct(Members),
    Map(Box<Node>),
    Json,
}

/// The fields of an object.
#[derive(Debug, Default, PartialEq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Members {
    fields: Vec<Field>,
    by_key: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
}

/// One field, and the columns that take its values: mostly one.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Field {
    pub key: Box<str>,
    /// Never empty. The first that takes a value has it.
    pub slots: Vec<Slot>,
}

/// A column.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Slot {
    pub name: String,
    pub node: Node,
    /// Whether no file can have it yet, so that text may still become any other text.
    pub fresh: bool,
    /// Its place among the columns.
    order: usize,
}

impl Members {
    /// The fields of `columns`, all of which files have.
    pub(super) fn of(columns: &[Column]) -> Self {
        let mut members = Self::default();
        for (order, column) in columns.iter().enumerate() {
            let node = Node::of(&column.column_type);
            let slot = Slot { name: column.name.clone(), node, fresh: false, order };
            let index = members.index_or_new(column.key());
            if let Some(field) = members.fields.get_mut(index) {
                field.slots.push(slot);
            }
        }
        members
    }

    fn index_or_new(&mut self, key: &str) -> usize {
        if let Some(&index) = self.by_key.get(key) {
            return index;
        }
        let index = self.fields.len();
        self.by_key.insert(key.into(), index);
        self.fields.push(Field { key: key.into(), slots: Vec::new() });
        index
    }

    pub(super) fn find(&self, key: &str) -> Option<&Field> {
        self.fields.get(*self.by_key.get(key)?)
    }

    /// The same with its index.
    pub(super) fn find_mut(&mut self, key: &str) -> Option<(usize, &mut Field)> {
        let index = *self.by_key.get(key)?;
        Some((index, self.fields.get_mut(index)?))
    }

    pub(super) fn field_mut(&mut self, index: usize) -> Option<&mut Field> {
        self.fields.get_mut(index)
    }

    /// How many keys it has.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Adds a column for `key`, which may have some already. It is called after `wanted`, as far as that is free.
    /// Returns the index of the field.
    pub(super) fn add(&mut self, key: &str, wanted: &str, node: Node) -> usize {
        let names = || self.fields.iter().flat_map(|field| &field.slots).map(|slot| slot.name.to_lowercase());
        let taken = |name: &str| {
            let name = name.to_lowercase();
            names().any(|known| known == name)
        };
        let name = names::unique(&names::column_name(wanted), taken);
        let order = self.fields.iter().map(|field| field.slots.len()).sum();
        let index = self.index_or_new(key);
        if let Some(field) = self.fields.get_mut(index) {
            field.slots.push(Slot { name, node, fresh: true, order });
        }
        index
    }

    /// Takes away the column of a field that was added last of all, with the field if it has no other.
    pub(super) fn take_back(&mut self, index: usize) {
        let Some(field) = self.fields.get_mut(index) else { return };
        field.slots.pop();
        if field.slots.is_empty()
            && let Some(field) = self.fields.pop()
        {
            self.by_key.remove(&field.key);
        }
    }

    /// As columns, in the order in which they came. The way of reading of those inside a column is that of the column.
    pub(super) fn columns(&self, coercion: Coercion) -> Vec<Column> {
        let slots =
            self.fields.iter().flat_map(|field| field.slots.iter().map(move |slot| (slot, &field.key)));
        let mut columns: Vec<(usize, Column)> = slots
            .map(|(slot, key)| {
                let column = Column::new(&slot.name, slot.node.column_type(), true).with_key(&**key);
                (slot.order, column.with_reading(Reading { coercion, ..Reading::default() }))
            })
            .collect();
        columns.sort_by_key(|(order, _)| *order);
        columns.into_iter().map(|(_, column)| column).collect()
    }

    /// How many scalar columns it is stored as.
    pub(super) fn leaves(&self) -> usize {
        self.fields.iter().flat_map(|field| &field.slots).map(|slot| slot.node.leaves()).sum()
    }
}

impl Node {
    /// What a column's type holds. Types that are never inferred hold nothing more than they do.
    fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Bool => Node::Bool,
            ColumnType::Int64 => Node::Integer { wide: false },
            ColumnType::Float64 => Node::Float,
            ColumnType::Date => Node::Date,
            ColumnType::Timestamp(_) => Node::Timestamp,
            ColumnType::String => Node::String,
            ColumnType::List(element) => Node::List(Box::new(Node::of(element))),
            ColumnType::Struct(fields) => Node::Struct(Members::of(fields)),
            ColumnType::Map(value) => Node::Map(Box::new(Node::of(value))),
            _ => Node::Json,
        }
    }

    pub(super) fn column_type(&self) -> ColumnType {
        match self {
            Node::Bool => ColumnType::Bool,
            Node::Integer { .. } => ColumnType::Int64,
            Node::Float => ColumnType::Float64,
            Node::Date => ColumnType::Date,
            Node::Timestamp => ColumnType::Timestamp(TimeUnit::Micros),
            Node::String => ColumnType::String,
            Node::List(element) => ColumnType::List(Box::new(element.column_type())),
            Node::Struct(members) => ColumnType::Struct(members.columns(Coercion::Strict)),
            Node::Map(value) => ColumnType::Map(Box::new(value.column_type())),
            Node::Json => ColumnType::Json,
        }
    }

    pub(super) fn leaves(&self) -> usize {
        match self {
            Node::List(element) => element.leaves(),
            Node::Struct(members) => members.leaves(),
            Node::Map(value) => 1 + value.leaves(),
            _ => 1,
        }
    }

    /// What a record that has everything of it would look like.
    pub(super) fn shape(&self) -> Shape<'_> {
        match self {
            Node::Bool => Shape::Bool,
            Node::Integer { wide } => Shape::Integer { wide: *wide },
            Node::Float => Shape::Float,
            Node::Date => Shape::Date,
            Node::Timestamp => Shape::Timestamp,
            Node::String => Shape::String,
            Node::List(element) => Shape::List(vec![element.shape()]),
            Node::Struct(members) => {
                let slots =
                    members.fields.iter().flat_map(|field| field.slots.iter().map(move |slot| (field, slot)));
                Shape::Struct(
                    slots.map(|(field, slot)| (Cow::Borrowed(&*field.key), slot.node.shape())).collect(),
                )
            }
            // The key does not matter: it is a value of a map again.
            Node::Map(value) => Shape::Struct(vec![(Cow::Borrowed(""), value.shape())]),
            Node::Json => Shape::Json,
        }
    }

    /// The word of its type in the names of second columns.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Node::Bool => "bool",
            Node::Integer { .. } => "int64",
            Node::Float => "float64",
            Node::Date => "date",
            Node::Timestamp => "timestamp",
            Node::String => "string",
            Node::List(_) => "list",
            Node::Struct(_) => "struct",
            Node::Map(_) => "map",
            Node::Json => "json",
        }
    }

    /// Whether all its values are strings.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Node::Date | Node::Timestamp | Node::String)
    }
}
