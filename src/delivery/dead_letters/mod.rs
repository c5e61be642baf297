//! Dead letters, read back: which files of them there are, and the letters in each, whatever their envelope.
//!
//! ```text
//! ledger of the delivery ──┐
//!                          ├─▶ files ──▶ one object after the other, one line after the other ──▶ letters
//! error prefix in the sink ┘
//! ```
//! Nothing here writes anything, and nothing needs the node to stand still: a file that the ledger has as committed
//! does not change any more. They are written by [`crate::delivery::encode::dead_letter`].

mod files;
mod letter;
mod reader;

pub use files::{DeadFile, FilesError, LedgerFiles, Listing};
pub use letter::{Letter, LetterError};
pub use reader::{LetterReader, ReadLetterError};
