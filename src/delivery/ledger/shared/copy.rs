//! A ledger of a store as the files of one in a folder, for those who read history: they are the same lines.

use std::path::Path;
use std::sync::Arc;

use super::place::SharedPlace;
use super::reading::Volume;
use crate::config::limits::LEDGER_TRIES_MAX;
use crate::delivery::ledger::entry::{Entry, Previous};
use crate::delivery::ledger::state::State;
use crate::delivery::ledger::{LedgerError, file, line};
use crate::runtime::disk::Disk;
use crate::runtime::scratch_disk::ScratchDisk;

/// What becomes a file.
struct Copied {
    number: u64,
    begin: State,
    entries: Vec<Entry>,
}

/// Copies what a ledger still remembers into files of `folder` on a disk in memory, each with the entries behind one
/// snapshot. Without a ledger there is no file. The store is only read; others may go on writing.
///
/// # Errors
/// If the store cannot be asked, or the ledger is damaged.
pub async fn files_of(place: &SharedPlace, folder: &Path) -> Result<Arc<dyn Disk>, LedgerError> {
    let disk: Arc<dyn Disk> = Arc::new(ScratchDisk::empty());
    for _ in 0..LEDGER_TRIES_MAX {
        let Some(newest) = place.list(None).await?.last().map(|newest| newest.number) else {
            return Ok(disk);
        };
        // Oldest first.
        if let Some(volumes) = volumes(place, newest).await? {
            write(&*disk, folder, volumes)?;
            return Ok(disk);
        }
    }
    Err(LedgerError::Contended { key: place.folder().to_string() })
}

/// All that go on from one another, up to the object `newest`; `None` if that has been removed meanwhile.
async fn volumes(place: &SharedPlace, newest: u64) -> Result<Option<Vec<Copied>>, LedgerError> {
    let Some(last) = Volume::up_to(place, newest, None).await? else { return Ok(None) };
    let (mut volume, mut is_annulled) = (last, false);
    let mut copied = Vec::new();
    loop {
        // That its entries can follow each other.
        volume.end(place, is_annulled)?;
        let entries = volume.entries(is_annulled).map(|(_, entry)| entry.clone()).collect();
        copied.push(Copied { number: volume.first(), begin: volume.begin(), entries });
        let first = &volume.objects[0].head;
        if first.number == 1 {
            break;
        }
        let before = Volume::up_to(place, first.number - 1, Some(first.previous)).await?;
        is_annulled = first.annuls;
        match before {
            Some(before) => volume = before,
            None => break,
        }
    }
    copied.reverse();
    Ok(Some(copied))
}

fn write(disk: &dyn Disk, folder: &Path, volumes: Vec<Copied>) -> Result<(), LedgerError> {
    // One that is not there stands for all that was removed.
    let is_complete = volumes.first().is_some_and(|volume| volume.number == 1);
    let mut previous = (!is_complete).then_some(Previous { file: 0, bytes: 0 });
    for Copied { number, begin, entries } in volumes {
        let mut content = Vec::new();
        let snapshot = Entry::Snapshot(Box::new(begin.to_snapshot(previous)));
        line::encode(&[snapshot], 0, &mut content)?;
        for entry in entries {
            line::encode(std::slice::from_ref(&entry), content.len() as u64, &mut content)?;
        }
        let path = folder.join(file::file_name(number));
        let written = disk.create(&path).and_then(|file| file.write_all_at(&content, 0));
        written.map_err(|error| LedgerError::io("write", &path, error))?;
        previous = Some(Previous { file: number, bytes: content.len() as u64 });
    }
    Ok(())
}
