//! `token-key.json`: what the tokens are sealed with that clients of AWS services hand back, such as shard iterators. It
//! is made once, and stays, so that they outlive a restart.
//!
//! ```json
//! { "format": 1, "key": "…64 hexadecimal digits…", "checksum": … }
//! ```
//!
//! The file is for the process's user alone: whoever has the key can make tokens. They tell where to read on, and no
//! more: what a caller may read is decided by other means.

use std::fmt::Write as _;
use std::io;

use serde::{Deserialize, Serialize};

use super::{NodeError, NodeFolder, document};

const TOKEN_KEY: &str = "token-key.json";

/// Bytes of the key.
pub const TOKEN_KEY_BYTES: usize = 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    key: String,
}

impl NodeFolder {
    /// The key that is kept; `fresh` from now on if none is, or if the file is damaged: tokens are good for minutes.
    ///
    /// # Errors
    /// If the folder cannot be read or written, or another version has written the file.
    pub fn keep_token_key(&self, fresh: [u8; TOKEN_KEY_BYTES]) -> Result<[u8; TOKEN_KEY_BYTES], NodeError> {
        match document::read::<KeyDocument>(&*self.disk, &self.path.join(TOKEN_KEY)) {
            Ok(KeyDocument { key }) => match parse(&key) {
                Some(kept) => return Ok(kept),
                None => {
                    tracing::warn!(file = TOKEN_KEY, "it has no key: shard iterators from before are void")
                }
            },
            Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(NodeError::Damaged { path, .. }) => {
                tracing::warn!(file = %path.display(), "it is damaged: shard iterators from before are void");
            }
            Err(error) => return Err(error),
        }
        let content = KeyDocument { key: print(&fresh) };
        document::write_private(&*self.disk, &self.path, TOKEN_KEY, &content)?;
        Ok(fresh)
    }
}

fn print(key: &[u8]) -> String {
    key.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse(text: &str) -> Option<[u8; TOKEN_KEY_BYTES]> {
    if text.len() != 2 * TOKEN_KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; TOKEN_KEY_BYTES];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::runtime::disk::{Disk, RealDisk};
    use crate::testkit::disk::SimulatedDisk;

    const ONE: [u8; TOKEN_KEY_BYTES] = [0x1f; TOKEN_KEY_BYTES];
    const OTHER: [u8; TOKEN_KEY_BYTES] = [0xa0; TOKEN_KEY_BYTES];

    #[test]
    fn the_first_key_stays_also_when_the_power_fails() {
        let disk = SimulatedDisk::new(3);
        let open = |disk: &SimulatedDisk| {
            NodeFolder::open(Arc::new(disk.clone()), Path::new("/data"), None).unwrap()
        };
        let folder = open(&disk);
        assert_eq!(folder.keep_token_key(ONE).unwrap(), ONE);
        assert_eq!(folder.keep_token_key(OTHER).unwrap(), ONE);
        drop(folder);
        let disk = disk.crash();
        assert_eq!(open(&disk).keep_token_key(OTHER).unwrap(), ONE);
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let disk = SimulatedDisk::new(3);
        let folder = NodeFolder::open(Arc::new(disk.clone()), Path::new("/data"), None).unwrap();
        folder.keep_token_key(ONE).unwrap();
        disk.open(&Path::new("/data").join(TOKEN_KEY)).unwrap().write_all_at(b"x", 20).unwrap();
        assert_eq!(folder.keep_token_key(OTHER).unwrap(), OTHER);
        assert_eq!(folder.keep_token_key(ONE).unwrap(), OTHER);
    }

    #[test]
    fn nobody_else_may_read_the_file() {
        let path = tempfile::tempdir().unwrap();
        let folder = NodeFolder::open(Arc::new(RealDisk), path.path(), None).unwrap();
        folder.keep_token_key(ONE).unwrap();
        let mode = std::fs::metadata(path.path().join(TOKEN_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
