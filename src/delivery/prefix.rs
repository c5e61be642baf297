//! stub
#![allow(missing_docs)]
use crate::{record::ShardId, runtime::clock::UnixMicros, json::Pointer};
#[derive(Debug, Clone)]
pub struct PrefixTemplate {}
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct PartitionError;
pub struct RecordFacts<'a> { pub stream: &'a str, pub delivery: &'a str, pub shard: ShardId, pub arrival: UnixMicros, pub event_time: Option<UnixMicros>, pub pointer_values: &'a dyn Fn(usize) -> Option<&'a str> , pub reason: &'a str }
impl PrefixTemplate { pub fn pointers(&self)->&[Pointer]{&[]} pub fn uses_event_time(&self)->bool{false} 
 pub fn partition_key(&self, _facts: &RecordFacts<'_>, _key: &mut Vec<u8>) -> Result<(), PartitionError>{Ok(())}
 pub fn render(&self, _facts: &RecordFacts<'_>) -> Result<String, PartitionError>{Ok(String::new())} }
