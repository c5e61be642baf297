//! Where the facts of a request go in its records.

use super::{Judge, Place};
use crate::json::Scanner;
use crate::record::Span;

impl Judge<'_> {
    /// Where the facts of the request go in the record at hand; `None` if it is not to have the member already.
    pub(super) fn place(&self) -> Option<Place> {
        let Some((mapping, _)) = self.mapping else { return Some(Place::Nowhere) };
        mapping.place(self.scratch.captures().get(mapping.slot()).copied().unwrap_or(Span::ABSENT))
    }

    /// What is said against a record that becomes too large by its facts.
    pub(super) fn outgrows(&self, payload: Span, place: Place) -> Option<String> {
        let (_, added) = self.mapping?;
        let (bytes, limit) =
            (added.bytes_of(self.slice(payload), place), self.intake.ingest.record_bytes_max);
        (bytes as u64 > limit)
            .then(|| format!("{bytes} bytes with what is added to it, at most {limit} are taken"))
    }

    /// Notes where facts go in the record that was accepted last.
    pub(super) fn goes_to(&mut self, place: Place) {
        if self.mapping.is_some() {
            self.out.places.push(place);
        }
    }

    /// The key of all records that are given what is added, if that is where keys are.
    pub(super) fn find_added_key(&mut self) -> Span {
        let (Some(slot), Some((_, added))) = (self.intake.key_slot, self.mapping) else {
            return Span::ABSENT;
        };
        match added.field(slot) {
            None | Some([b'{' | b'[' | b'n', ..]) => Span::ABSENT,
            Some(raw) => match str::from_utf8(raw).ok().map(|text| Scanner::new(text).string()) {
                Some(Ok(text)) => self.remember(text.decode().as_bytes()),
                _ => self.remember(raw),
            },
        }
    }
}
