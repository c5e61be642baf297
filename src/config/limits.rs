//! Every bound of the program, with its arithmetic. A number that can be argued with can be tuned.
//! By stage.

mod dead_letters;
mod delivery;
mod edge;
mod function;
mod identity;
mod kafka;
mod ledger;
mod log;
mod node;
mod schema;
mod tap;
mod telemetry;

pub use dead_letters::*;
pub use delivery::*;
pub use edge::*;
pub use function::*;
pub use identity::*;
pub use kafka::*;
pub use ledger::*;
pub use log::*;
pub use node::*;
pub use schema::*;
pub use tap::*;
pub use telemetry::*;
