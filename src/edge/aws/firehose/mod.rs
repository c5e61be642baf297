//! The Amazon Data Firehose API (`X-Amz-Target: Firehose_20150804.*`): delivery streams are pipelines.
//!
//! ```text
//! CreateDeliveryStream ─ validation ─▶ DeliveryStream ─ mapping ─▶ raw pipeline ─ config::check ─▶ checked pipeline
//! UpdateDestination      constraints   what was given,  what it     one check for files and API     what runs
//!                        of the model  as it is          comes to
//! ```
//!
//! The node keeps what was given, and describes it as it was given. What this server cannot do is refused with
//! `InvalidArgumentException`, which names the member.

mod columns;
pub mod conversion;
pub mod delivery_stream;
pub mod destination;
pub mod error;
mod folders;
pub mod jq;
pub mod mapping;
pub mod processing;
pub mod validation;
