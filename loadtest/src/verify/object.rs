//! Reading an object piece by piece, from threads that may block.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use super::lake::Object;

/// Bytes that are fetched at a time.
const BLOCK_BYTES: u64 = 1 << 20;

/// Blocks that stay in memory for each object that is being read: 48 MiB. A columnar file is read at as many
/// places as it has columns, and each is read on from where it was left.
const BLOCKS_MAX: usize = 48;

/// An object whose blocks are fetched when they are needed.
#[derive(Debug, Clone)]
pub(super) struct ObjectFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    runtime: Handle,
    /// The most recently used last.
    blocks: Mutex<Vec<(u64, Bytes)>>,
    failure: Mutex<Option<object_store::Error>>,
}

impl ObjectFile {
    /// For use in threads of `runtime` that may block.
    pub(super) fn new(store: Arc<dyn ObjectStore>, object: &Object, runtime: Handle) -> Self {
        let inner = Inner {
            store,
            path: object.path.clone(),
            bytes: object.bytes,
            runtime,
            blocks: Mutex::default(),
            failure: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What the store said, if it failed: the content is not to blame then.
    pub(super) fn take_failure(&self) -> Option<object_store::Error> {
        self.inner.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// From `start` to its end.
    pub(super) fn reader(&self, start: u64) -> ObjectReader {
        ObjectReader { file: self.clone(), position: start }
    }

    /// What is left of the block at `position`; empty at the end.
    fn block_at(&self, position: u64) -> io::Result<Bytes> {
        let inner = &*self.inner;
        if position >= inner.bytes {
            return Ok(Bytes::new());
        }
        let number = position / BLOCK_BYTES;
        let mut blocks = inner.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let block = match blocks.iter().position(|(held, _)| *held == number) {
            Some(at) => blocks.remove(at).1,
            None => {
                if blocks.len() == BLOCKS_MAX {
                    blocks.remove(0);
                }
                self.fetch(number)?
            }
        };
        blocks.push((number, block.clone()));
        let offset = (position - number * BLOCK_BYTES) as usize;
        if offset >= block.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the object became shorter"));
        }
        Ok(block.slice(offset..))
    }

    fn fetch(&self, number: u64) -> io::Result<Bytes> {
        let inner = &*self.inner;
        let range = number * BLOCK_BYTES..((number + 1) * BLOCK_BYTES).min(inner.bytes);
        inner.runtime.block_on(inner.store.get_range(&inner.path, range)).map_err(|error| {
            let text = error.to_string();
            *inner.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            io::Error::other(text)
        })
    }
}

impl Length for ObjectFile {
    fn len(&self) -> u64 {
        self.inner.bytes
    }
}

impl ChunkReader for ObjectFile {
    type T = ObjectReader;

    fn get_read(&self, start: u64) -> Result<ObjectReader, ParquetError> {
        Ok(self.reader(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // A damaged footer may name any length: nothing is made room for that the object does not have.
        if start.checked_add(length as u64).is_none_or(|end| end > self.inner.bytes) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are not there")));
        }
        let first = self.block_at(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut whole = BytesMut::with_capacity(length);
        whole.extend_from_slice(&first);
        while whole.len() < length {
            let block = self.block_at(start + whole.len() as u64)?;
            whole.extend_from_slice(&block[..block.len().min(length - whole.len())]);
        }
        Ok(whole.freeze())
    }
}

/// Reads an object from some place to its end.
#[derive(Debug)]
pub(super) struct ObjectReader {
    file: ObjectFile,
    position: u64,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let block = self.file.block_at(self.position)?;
        let count = block.len().min(buffer.len());
        buffer[..count].copy_from_slice(&block[..count]);
        self.position += count as u64;
        Ok(count)
    }
}
