//! Objects → the state that they stand for.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::object::Object;
use super::place::{Listed, SharedPlace};
use crate::config::limits::{LEDGER_READS_MAX, LEDGER_TRIES_MAX};
use crate::delivery::ledger::LedgerError;
use crate::delivery::ledger::entry::Entry;
use crate::delivery::ledger::state::State;

/// What a ledger's objects come to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The state behind the newest of them.
    pub state: State,
    /// Number of the newest one; 0 if there is none.
    pub newest: u64,
    /// Checksum of that.
    pub checksum: u64,
    /// Number of the one with the latest snapshot; 0 if none has one.
    pub snapshot: u64,
    /// All that the store has, in order.
    pub listed: Vec<Listed>,
}

/// Objects from one with a snapshot, or from the very first, up to before the next such.
#[derive(Debug)]
pub(super) struct Volume {
    /// In order; never empty.
    pub objects: Vec<Object>,
}

/// Reads a ledger to its end, however often it is tidied meanwhile.
pub(super) async fn read(place: &SharedPlace) -> Result<Found, LedgerError> {
    for _ in 0..LEDGER_TRIES_MAX {
        let listed = place.list(None).await?;
        let Some(newest) = listed.last().map(|newest| newest.number) else { return Ok(Found::default()) };
        let Some(volume) = Volume::up_to(place, newest, None).await? else { continue };
        let (state, last) = (volume.end(place, false)?, &volume.objects[volume.objects.len() - 1]);
        let (checksum, snapshot) = (last.checksum, last.head.snapshot);
        return Ok(Found { state, newest, checksum, snapshot, listed });
    }
    Err(LedgerError::Contended { key: place.folder().to_string() })
}

/// What the ledger at `place` says at the moment, whoever has it.
///
/// # Errors
/// If the store cannot be asked, or the ledger is damaged.
pub async fn state_of(place: &SharedPlace) -> Result<State, LedgerError> {
    Ok(read(place).await?.state)
}

impl Volume {
    /// The one whose last object has this number; `None` if not all of it is there. Of one that has no meaning any more
    /// but as history, and may be half removed, the checksum of that object is given.
    pub async fn up_to(
        place: &SharedPlace,
        last: u64,
        checksum: Option<u64>,
    ) -> Result<Option<Self>, LedgerError> {
        let Some(end) = object(place, last).await? else { return Ok(None) };
        if checksum.is_some_and(|checksum| checksum != end.checksum) {
            return Ok(None);
        }
        let begin = end.head.snapshot.max(1);
        let reads = stream::iter((begin..last).map(|number| object(place, number)));
        let before: Option<Vec<Object>> = reads
            .buffered(LEDGER_READS_MAX)
            .try_collect::<Vec<Option<Object>>>()
            .await?
            .into_iter()
            .collect();
        let Some(mut objects) = before else { return Ok(None) };
        objects.push(end);
        for pair in objects.windows(2) {
            if pair[0].checksum != pair[1].head.previous {
                if checksum.is_some() {
                    // What was removed of it a latecomer has filled with something else.
                    return Ok(None);
                }
                let key = place.key(pair[1].head.number);
                let what = "it does not follow the object before it";
                return Err(LedgerError::damaged_text(key.as_ref(), 1, what));
            }
        }
        Ok(Some(Self { objects }))
    }

    /// The number that it begins with.
    pub fn first(&self) -> u64 {
        self.objects[0].head.number
    }

    /// The state that it begins with.
    pub fn begin(&self) -> State {
        let snapshot = self.objects[0].snapshot.clone();
        snapshot.map_or_else(State::default, |snapshot| State::from_snapshot(*snapshot))
    }

    /// Each entry that counts, with the object that has it. `is_annulled` tells whether those of the last object do not.
    pub fn entries(&self, is_annulled: bool) -> impl Iterator<Item = (&Object, &Entry)> {
        let next = self.objects.iter().skip(1).map(|next| next.head.annuls).chain([is_annulled]);
        let counting = self.objects.iter().zip(next).filter(|(_, annulled)| !annulled);
        counting.flat_map(|(object, _)| object.entries.iter().map(move |entry| (object, entry)))
    }

    /// The state behind it.
    pub fn end(&self, place: &SharedPlace, is_annulled: bool) -> Result<State, LedgerError> {
        let mut state = self.begin();
        for (object, entry) in self.entries(is_annulled) {
            state.apply(entry).map_err(|error| {
                let key = place.key(object.head.number);
                LedgerError::damaged_text(key.as_ref(), 2, error.to_string())
            })?;
        }
        Ok(state)
    }
}

/// An object; `None` if it is not there.
pub(super) async fn object(place: &SharedPlace, number: u64) -> Result<Option<Object>, LedgerError> {
    let Some(content) = place.get(number).await? else { return Ok(None) };
    Object::decode(place.key(number).as_ref(), number, &content).map(Some)
}
