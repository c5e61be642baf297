//! The fields that are found once, at the edge, and read by every delivery.

use crate::json::Pointer;

/// The stream's captured fields: a slot a pointer. The edge notes where each record has them while it validates, and
/// the batch carries the spans ([`crate::record::Batch::captures_of`]), so that no delivery scans for them again.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    pointers: Vec<Pointer>,
}

impl Captures {
    /// The slot of `pointer`, made if there is none yet.
    pub fn slot(&mut self, pointer: &Pointer) -> usize {
        match self.pointers.iter().position(|known| known == pointer) {
            Some(slot) => slot,
            None => {
                self.pointers.push(pointer.clone());
                self.pointers.len() - 1
            }
        }
    }

    /// The pointers in slot order.
    pub fn pointers(&self) -> &[Pointer] {
        &self.pointers
    }
}
