//! Tap: live reads of a stream.

pub mod cursor;
pub mod data;
pub mod events;
pub mod feed;
pub mod filter;
pub mod found;
pub mod named;
pub mod paced;
pub mod page;
pub mod query;
pub mod reader;
pub mod taps;
mod text;
pub mod websocket;

#[cfg(test)]
mod tests;
