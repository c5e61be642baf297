//! Taking a ledger over.

use super::SharedBounds;
use super::object::{self, Head};
use super::place::{Created, SharedPlace};
use super::reading::{self, Found};
use super::writer::SharedWriter;
use crate::config::limits::{LEDGER_TRIES_MAX, NAME_BYTES_MAX};
use crate::delivery::ledger::entry::{Entry, Generation};
use crate::delivery::ledger::{FORMAT, LedgerError};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;

/// Who takes a ledger over.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// What other nodes call it.
    pub node: &'a str,
    /// The group of its cluster, if it has one: see [`Generation::group`].
    pub group: Option<&'a str>,
}

impl<'a> From<&'a str> for Owner<'a> {
    fn from(node: &'a str) -> Self {
        Self { node, group: None }
    }
}

/// Makes `owner` the owner of a ledger. The one before it learns that by its next append.
///
/// # Errors
/// If the store cannot be asked or does not keep to conditions, if the ledger is damaged or of another cluster, or if so
/// many want it at the same time that this one never wins.
pub async fn take_over(
    place: SharedPlace,
    owner: Owner<'_>,
    bounds: SharedBounds,
) -> Result<SharedWriter, LedgerError> {
    let writer = format!("{:016x}", fastrand::u64(..));
    let mut backoff = Backoff::default();
    for _ in 0..LEDGER_TRIES_MAX {
        let found = reading::read(&place).await?;
        let (generation, content) = takeover(&place, &found, (owner, &writer))?;
        let number = found.newest + 1;
        let is_ours = match place.create(number, &content).await? {
            Created::Now => {
                refuses_a_second(&place, number, &content).await?;
                true
            }
            Created::Before => true,
            Created::Taken(_) => false,
        };
        // Whoever was asleep since it has read has created what was removed already, or is deposed.
        if is_ours && place.list(Some(number)).await?.is_empty() {
            tracing::debug!(folder = %place.folder(), node = owner.node, generation = generation.number, "ledger taken over");
            return SharedWriter::begin(place, found, (generation, writer), &content, bounds);
        }
        backoff.wait().await;
    }
    Err(LedgerError::Contended { key: place.folder().to_string() })
}

/// The entry that comes next, and the object that has it.
fn takeover(
    place: &SharedPlace,
    found: &Found,
    (Owner { node, group }, writer): (Owner<'_>, &str),
) -> Result<(Generation, bytes::Bytes), LedgerError> {
    let latest = found.state.generation.as_ref();
    let known = latest.and_then(|latest| latest.group.as_deref());
    if let (Some(owner), Some(group)) = (known, group)
        && owner != group
    {
        let (owner, group) = (owner.to_owned(), group.to_owned());
        return Err(LedgerError::OtherGroup { key: place.folder().to_string(), owner, group });
    }
    let generation = Generation {
        number: latest.map_or(0, |latest| latest.number) + 1,
        // Names that are longer than any would make the object too large to be known by its size.
        node: node.chars().filter(|letter| !letter.is_control()).take(NAME_BYTES_MAX).collect(),
        ledger: latest.map_or_else(|| format!("{:016x}", fastrand::u64(..)), |latest| latest.ledger.clone()),
        group: group.or(known).map(str::to_owned),
        at: clock::wall(),
    };
    let head = Head {
        format: FORMAT,
        number: found.newest + 1,
        generation: generation.number,
        writer: writer.to_owned(),
        previous: found.checksum,
        snapshot: found.snapshot,
        annuls: false,
    };
    let content = object::encode(&head, &[], &[&[Entry::Generation(generation.clone())]])?;
    Ok((generation, content))
}

/// Asks for the same object once more, which the store must refuse. Nothing is lost if it does not.
async fn refuses_a_second(
    place: &SharedPlace,
    number: u64,
    content: &bytes::Bytes,
) -> Result<(), LedgerError> {
    match place.create(number, content).await? {
        Created::Before => Ok(()),
        _ => Err(LedgerError::NoConditions { key: place.key(number).to_string() }),
    }
}
