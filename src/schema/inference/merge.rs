//! Shapes into columns.
//!
//! Columns are widened where they are, and what has changed is noted ([`Journal`]), so that a record that is refused
//! half way, or is only asked about, costs no copy of them.

use super::journal::{Change, Journal};
use super::node::{Field, Members, Node, Slot};
use super::shape::Shape;
use super::{ALTERNATIVES_MAX, KEY_BYTES_MAX, OnConflict, Refusal, STRUCT_FIELDS_MAX};

/// One record on its way into columns. The journal has whatever has changed, after an error as well.
#[derive(Debug)]
pub(super) struct Merge {
    pub on_conflict: OnConflict,
}

/// What could not be merged. The pointer is put together on the way up, innermost part first.
#[derive(Debug)]
pub(super) struct Stopped {
    tokens: Vec<String>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Conflict { expected: &'static str, found: &'static str },
    LongKey { bytes: usize },
}

const TOO_WIDE: Why =
    Why::Conflict { expected: "struct", found: "an object with more keys than a struct may have" };

impl Stopped {
    fn conflict(node: &Node, shape: &Shape<'_>) -> Self {
        Self { tokens: Vec::new(), why: Why::Conflict { expected: node.word(), found: shape.name() } }
    }

    fn below(mut self, token: &str) -> Self {
        self.tokens.push(token.replace('~', "~0").replace('/', "~1"));
        self
    }

    pub(super) fn refusal(self) -> Refusal {
        let pointer = self.tokens.iter().rev().flat_map(|token| ["/", token]).collect();
        match self.why {
            Why::Conflict { expected, found } => {
                Refusal::Conflict { pointer, expected: expected.to_owned(), found: found.to_owned() }
            }
            Why::LongKey { bytes } => Refusal::LongKey { pointer, bytes },
        }
    }
}

impl Merge {
    /// Makes room for an object's members. `bounded` objects become no wider than a struct may be: false is returned
    /// where they would.
    pub(super) fn members(
        &self,
        members: &mut Members,
        seen: &[(std::borrow::Cow<'_, str>, Shape<'_>)],
        bounded: bool,
        journal: &mut Journal,
    ) -> Result<bool, Stopped> {
        for (key, shape) in seen {
            if *shape == Shape::Null {
                continue;
            }
            if let Some((index, field)) = members.find_mut(key) {
                let more =
                    self.field((index, field), shape, journal).map_err(|stopped| stopped.below(key))?;
                if let Some(node) = more {
                    members.add(key, &format!("{key}_{}", node.word()), node);
                    journal.note(Change::Column { field: index });
                }
            } else if shape.is_nothing() {
                continue;
            } else if key.len() > KEY_BYTES_MAX {
                return Err(Stopped { tokens: Vec::new(), why: Why::LongKey { bytes: key.len() } });
            } else if bounded && members.len() == STRUCT_FIELDS_MAX {
                return Ok(false);
            } else {
                let node = match self.node_of(shape) {
                    // An array of many kinds has no place for second columns.
                    Err(_) if self.on_conflict == OnConflict::Suffix => Some(Node::Json),
                    node => node.map_err(|stopped| stopped.below(key))?,
                };
                if let Some(node) = node {
                    let field = members.add(key, key, node);
                    journal.note(Change::Column { field });
                }
            }
        }
        Ok(true)
    }

    /// Makes room for a value in one of the columns of a field; or gives what another column is to be.
    fn field(
        &self,
        (index, field): (usize, &mut Field),
        shape: &Shape<'_>,
        journal: &mut Journal,
    ) -> Result<Option<Node>, Stopped> {
        if field.slots.iter().any(|slot| self.fits(&slot.node, shape)) {
            return Ok(None);
        }
        let mut first = None;
        for (place, slot) in field.slots.iter_mut().enumerate() {
            let mut inside = Journal::default();
            match self.node(&mut slot.node, shape, slot.fresh, &mut inside) {
                Ok(()) => {
                    journal.note(Change::InField { field: index, slot: place, inside });
                    return Ok(None);
                }
                Err(stopped) => {
                    inside.undo_in(&mut slot.node);
                    first = first.or(Some(stopped));
                }
            }
        }
        match (self.on_conflict, first) {
            (OnConflict::Suffix, Some(_)) if field.slots.len() < ALTERNATIVES_MAX => {
                // `[]` or `{}` where neither an array nor an object fits, or an array of many kinds.
                Ok(Some(self.node_of(shape).ok().flatten().unwrap_or(Node::Json)))
            }
            (_, Some(stopped)) => Err(stopped),
            (_, None) => Ok(None),
        }
    }

    /// Widens a node until it takes a value of this shape.
    fn node(
        &self,
        node: &mut Node,
        shape: &Shape<'_>,
        fresh: bool,
        journal: &mut Journal,
    ) -> Result<(), Stopped> {
        if self.fits(node, shape) {
            return Ok(());
        }
        let mut inside = Journal::default();
        match (&mut *node, shape) {
            (Node::Integer { wide }, Shape::Integer { .. }) => {
                *wide = true;
                journal.note(Change::Wide);
            }
            (Node::Integer { wide: false }, Shape::Float) => journal.replace(node, Node::Float),
            (Node::Date, Shape::Timestamp) => journal.replace(node, Node::Timestamp),
            (Node::Date | Node::Timestamp, Shape::String) if fresh => journal.replace(node, Node::String),
            (Node::List(element), Shape::List(seen)) => {
                let widened = seen.iter().enumerate().try_for_each(|(index, shape)| {
                    let widened = self.node(element, shape, fresh, &mut inside);
                    widened.map_err(|stopped| stopped.below(&index.to_string()))
                });
                journal.note(Change::Inside(inside));
                widened?;
            }
            (Node::Map(value), Shape::Struct(seen)) => {
                let widened = seen.iter().try_for_each(|(key, shape)| {
                    self.node(value, shape, fresh, &mut inside).map_err(|stopped| stopped.below(key))
                });
                journal.note(Change::Inside(inside));
                widened?;
            }
            (Node::Struct(members), Shape::Struct(seen)) => {
                let has_room = self.members(members, seen, true, &mut inside);
                journal.note(Change::Inside(inside));
                if !has_room? {
                    return self.too_wide(node, shape, fresh, journal);
                }
            }
            _ => return self.conflict(node, shape, journal),
        }
        Ok(())
    }

    /// A struct that gets too many fields: a dictionary, if no file has it as a struct.
    fn too_wide(
        &self,
        node: &mut Node,
        shape: &Shape<'_>,
        fresh: bool,
        journal: &mut Journal,
    ) -> Result<(), Stopped> {
        let (Node::Struct(members), Shape::Struct(seen), true) = (&*node, shape, fresh) else {
            return self
                .conflict(node, shape, journal)
                .map_err(|stopped| Stopped { why: TOO_WIDE, ..stopped });
        };
        let known = members.fields().iter().flat_map(|field| &field.slots).map(|slot| slot.node.shape());
        let known: Vec<_> = known.collect();
        let values: Vec<&Shape<'_>> = known.iter().chain(seen.iter().map(|(_, shape)| shape)).collect();
        let dictionary = self.dictionary(&values);
        journal.replace(node, dictionary);
        Ok(())
    }

    fn dictionary(&self, values: &[&Shape<'_>]) -> Node {
        match self.together(values.iter().copied()) {
            Ok(Some(value)) => Node::Map(Box::new(value)),
            // Values of many kinds.
            _ => self.anything(),
        }
    }

    /// What holds all of some values; none if they hold nothing.
    fn together<'s>(
        &self,
        values: impl Iterator<Item = &'s Shape<'s>> + Clone,
    ) -> Result<Option<Node>, Stopped> {
        let mut together: Option<Node> = None;
        // Of something new: after an error it is gone as a whole.
        let mut unneeded = Journal::default();
        // Twice, because those before the first that holds something may need more than it has, such as `[]`.
        for (index, shape) in values.clone().enumerate().chain(values.enumerate()) {
            let merged = match &mut together {
                Some(node) => self.node(node, shape, true, &mut unneeded),
                None => self.node_of(shape).map(|node| together = node),
            };
            merged.map_err(|stopped| stopped.below(&index.to_string()))?;
        }
        Ok(together)
    }

    /// What takes every value.
    fn anything(&self) -> Node {
        if self.on_conflict == OnConflict::String { Node::String } else { Node::Json }
    }

    fn conflict(&self, node: &mut Node, shape: &Shape<'_>, journal: &mut Journal) -> Result<(), Stopped> {
        match self.on_conflict {
            OnConflict::Widen if node.is_text() && is_text(shape) => journal.replace(node, Node::String),
            OnConflict::Widen => journal.replace(node, Node::Json),
            OnConflict::String => journal.replace(node, Node::String),
            OnConflict::Reject | OnConflict::DeadLetter | OnConflict::Suffix => {
                return Err(Stopped::conflict(node, shape));
            }
        }
        Ok(())
    }

    /// A new node for a value; none if it holds nothing.
    fn node_of(&self, shape: &Shape<'_>) -> Result<Option<Node>, Stopped> {
        Ok(match shape {
            Shape::Null => None,
            Shape::Bool => Some(Node::Bool),
            Shape::Integer { wide } => Some(Node::Integer { wide: *wide }),
            Shape::Float => Some(Node::Float),
            Shape::Date => Some(Node::Date),
            Shape::Timestamp => Some(Node::Timestamp),
            Shape::String => Some(Node::String),
            Shape::Json => Some(self.anything()),
            Shape::List(seen) => self.together(seen.iter())?.map(|element| Node::List(Box::new(element))),
            Shape::Struct(seen) => {
                let mut members = Members::default();
                if !self.members(&mut members, seen, true, &mut Journal::default())? {
                    let values: Vec<&Shape<'_>> = seen.iter().map(|(_, shape)| shape).collect();
                    return Ok(Some(self.dictionary(&values)));
                }
                (members.len() > 0).then_some(Node::Struct(members))
            }
        })
    }

    /// Whether a column of this type takes a value as it is.
    pub(super) fn fits(&self, node: &Node, shape: &Shape<'_>) -> bool {
        match (node, shape) {
            (_, Shape::Null) | (Node::Json, _) => true,
            (Node::String, _) if self.on_conflict == OnConflict::String => true,
            (Node::Bool, Shape::Bool) | (Node::Float, Shape::Float | Shape::Integer { wide: false }) => true,
            (Node::Integer { wide }, Shape::Integer { wide: more }) => *wide || !more,
            (Node::Date, Shape::Date)
            | (Node::Timestamp, Shape::Timestamp | Shape::Date)
            | (Node::String, Shape::String | Shape::Date | Shape::Timestamp) => true,
            (Node::List(element), Shape::List(seen)) => seen.iter().all(|shape| self.fits(element, shape)),
            (Node::Map(value), Shape::Struct(seen)) => seen.iter().all(|(_, shape)| self.fits(value, shape)),
            (Node::Struct(members), Shape::Struct(seen)) => self.members_fit(members, seen),
            _ => false,
        }
    }

    /// Whether an object that does not fit has nothing but new keys that keep it from that, each of which can become a
    /// column.
    pub(super) fn adds_alone(
        &self,
        members: &Members,
        seen: &[(std::borrow::Cow<'_, str>, Shape<'_>)],
    ) -> bool {
        seen.iter().all(|(key, shape)| match members.find(key) {
            Some(field) => field.slots.iter().any(|slot: &Slot| self.fits(&slot.node, shape)),
            None => shape.is_nothing() || key.len() <= KEY_BYTES_MAX && self.node_of(shape).is_ok(),
        })
    }

    pub(super) fn members_fit(
        &self,
        members: &Members,
        seen: &[(std::borrow::Cow<'_, str>, Shape<'_>)],
    ) -> bool {
        seen.iter().all(|(key, shape)| match members.find(key) {
            Some(field) => field.slots.iter().any(|slot: &Slot| self.fits(&slot.node, shape)),
            None => shape.is_nothing(),
        })
    }
}

fn is_text(shape: &Shape<'_>) -> bool {
    matches!(shape, Shape::Date | Shape::Timestamp | Shape::String)
}
