//! Dead letters, read back: which files of them there are, and the letters in each, whatever their envelope.
//!
//! ```text
//! ledger of the delivery ──┐
//!                          ├─▶ files ──▶ one object after the other, one line after the other ──▶ letters
//! error prefix in the sink ┘               visit: those that a filter means, and what could not be read
//! ```
//! Nothing here writes anything, and nothing needs the node to stand still: a file that the ledger has as committed
//! does not change any more. They are written by [`crate::delivery::encode::dead_letter`].
//!
//! Two read them: `forebay dlq`, which finds ledgers and sinks by the configuration and takes the time that it needs;
//! and the edge of the running node ([`letter_box`], [`page`], [`summary`]), which knows them, has a time and pays for the
//! memory.

mod files;
mod filter;
mod letter;
pub mod letter_box;
pub mod page;
mod patience;
mod place;
mod reader;
mod shown;
pub mod summary;
mod visit;

pub use files::{Choice, DeadFile, FilesError, From, LedgerFiles, Listing};
pub use filter::{Filter, parse_time};
pub use letter::{Letter, LetterError};
pub use patience::Patience;
pub use place::Place;
pub use reader::{LetterReader, ReadLetterError};
pub use shown::{Shown, as_time, rfc3339};
pub use visit::Visitor;
