//! What a record has changed in the columns, so that it can be undone.

use super::node::{Members, Node};

/// Changes, oldest first. An empty one has no memory.
#[derive(Debug, Default)]
pub(super) struct Journal {
    changes: Vec<Change>,
}

/// One change, of a node or of members.
#[derive(Debug)]
pub(super) enum Change {
    /// Of an integer: one that is not exact as a double has been seen. Its column is the same.
    Wide,
    /// Of a node: it was this one.
    Was(Node),
    /// In the elements of a list, the values of a map or the members of a struct.
    Inside(Journal),
    /// In one of the columns of a field of members.
    InField {
        /// Index of the field.
        field: usize,
        /// Index of the column among those of the field.
        slot: usize,
        /// What has changed there.
        inside: Journal,
    },
    /// A field of members has got another column, or has come with its first.
    Column {
        /// Index of the field.
        field: usize,
    },
}

impl Journal {
    /// Notes a change, if it is one.
    pub(super) fn note(&mut self, change: Change) {
        match change {
            Change::Inside(inside) | Change::InField { inside, .. } if inside.changes.is_empty() => {}
            change => self.changes.push(change),
        }
    }

    /// Puts another node in the place of one, and keeps that.
    pub(super) fn replace(&mut self, node: &mut Node, by: Node) {
        self.changes.push(Change::Was(std::mem::replace(node, by)));
    }

    /// Whether the columns are others than before. Nodes are only ever replaced by those of another type, and never by
    /// one that they were before.
    pub(super) fn changes_columns(&self) -> bool {
        self.changes.iter().any(|change| match change {
            Change::Wide => false,
            Change::Was(_) | Change::Column { .. } => true,
            Change::Inside(inside) | Change::InField { inside, .. } => inside.changes_columns(),
        })
    }

    /// Makes a node what it was.
    pub(super) fn undo_in(self, node: &mut Node) {
        for change in self.changes.into_iter().rev() {
            match (change, &mut *node) {
                (Change::Was(before), node) => *node = before,
                (Change::Wide, Node::Integer { wide }) => *wide = false,
                (Change::Inside(inside), Node::List(inner) | Node::Map(inner)) => inside.undo_in(inner),
                (Change::Inside(inside), Node::Struct(members)) => inside.undo_in_members(members),
                // No other pairs are noted.
                (Change::Wide | Change::Inside(_) | Change::InField { .. } | Change::Column { .. }, _) => {}
            }
        }
    }

    /// Makes members what they were.
    pub(super) fn undo_in_members(self, members: &mut Members) {
        for change in self.changes.into_iter().rev() {
            match change {
                Change::Column { field } => members.take_back(field),
                Change::InField { field, slot, inside } => {
                    let slot = members.field_mut(field).and_then(|field| field.slots.get_mut(slot));
                    if let Some(slot) = slot {
                        inside.undo_in(&mut slot.node);
                    }
                }
                // Of nodes.
                Change::Wide | Change::Was(_) | Change::Inside(_) => {}
            }
        }
    }
}
