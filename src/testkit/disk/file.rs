//! Access to one file.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{Failure, NodeId, Operation, SimulatedDisk, State};
use crate::runtime::disk::DiskFile;

/// A file of a [`SimulatedDisk`], whatever its name is by now.
#[derive(Debug)]
pub(super) struct SimulatedFile {
    pub(super) disk: SimulatedDisk,
    pub(super) node: NodeId,
    pub(super) path: PathBuf,
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let bytes = match state.begin(Operation::Read, &self.path)? {
            None => buffer.len(),
            Some(Failure::Short(bytes)) => bytes.min(buffer.len()),
            Some(failure) => return Err(failure.error()),
        };
        Ok(state.node(self.node)?.read(&mut buffer[..bytes], offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let was_off = state.faults.is_off();
        let failure = state.begin(Operation::Write, &self.path);
        let (used, capacity) = (state.used(), state.capacity.unwrap_or(u64::MAX));
        let State { nodes, random, .. } = &mut *state;
        let node = nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
        match failure {
            Ok(None) => {}
            Ok(Some(Failure::Short(short))) => {
                let short = short.min(bytes.len());
                node.write(&bytes[..short], offset, random);
                return Ok(short);
            }
            Ok(Some(Failure::Full)) => return Err(Failure::Full.error()),
            Err(error) if was_off => return Err(error),
            // What fails, or loses its power, may have been done in part.
            Ok(Some(Failure::Io)) | Err(_) => {
                let part = random.usize(..=bytes.len());
                node.write(&bytes[..part], offset, random);
                return Err(failure.err().unwrap_or_else(|| Failure::Io.error()));
            }
        }
        // Bytes that are there already can always be written again.
        let room = (node.content().len() as u64).saturating_add(capacity.saturating_sub(used));
        let fitting =
            usize::try_from(room.saturating_sub(offset)).map_or(bytes.len(), |fit| fit.min(bytes.len()));
        if fitting == 0 && !bytes.is_empty() {
            return Err(Failure::Full.error());
        }
        node.write(&bytes[..fitting], offset, random);
        Ok(fitting)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let failure = state.begin(Operation::Sync, &self.path)?;
        let State { nodes, random, .. } = &mut *state;
        let node = nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
        match failure {
            None => {
                node.sync();
                Ok(())
            }
            Some(failure) => {
                node.fail_sync(random);
                Err(failure.error())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.begin_whole(Operation::Len, &self.path)?;
        Ok(state.node(self.node)?.content().len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin_whole(Operation::SetLen, &self.path)?;
        let (used, capacity) = (state.used(), state.capacity.unwrap_or(u64::MAX));
        let node = state.node(self.node)?;
        let more = bytes.saturating_sub(node.content().len() as u64);
        if more > 0 && used.saturating_add(more) > capacity {
            return Err(Failure::Full.error());
        }
        node.set_len(usize::try_from(bytes).map_err(io::Error::other)?);
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}
