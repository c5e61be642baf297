//! Answers to requests that the broker does not hear of, or whose answers nobody is to hear: errors alone.

use bytes::{BufMut, BytesMut};

use super::rule::Api;
use super::wire::{Fields, Head, put_string};

/// The answer with the error `code`, from the correlation id on, to a request that changes something. `fields` stand
/// behind the request's head. `None` if it is not one, or has a version that is not known here.
pub(super) fn refusal(head: Head, mut fields: Fields<'_>, code: i16) -> Option<BytesMut> {
    let Head { version, .. } = head;
    // The client's name.
    fields.string()?;
    let mut out = BytesMut::new();
    out.put_i32(head.correlation);
    match Api::of(head.api)? {
        Api::Produce => produce(version, fields, code, &mut out)?,
        Api::AddPartitionsToTxn => add_partitions(fields, code, &mut out)?,
        Api::JoinGroup => join_group(version, fields, code, &mut out)?,
        Api::InitProducerId => {
            let is_flexible = version >= 2;
            begin(is_flexible, code, &mut out);
            // producer_id, producer_epoch
            out.put_i64(-1);
            out.put_i16(-1);
            out.put_bytes(0, usize::from(is_flexible));
        }
        Api::EndTxn => {
            let is_flexible = version >= 3;
            begin(is_flexible, code, &mut out);
            out.put_bytes(0, usize::from(is_flexible));
        }
        Api::Heartbeat | Api::SyncGroup => {
            if version >= 1 {
                out.put_i32(0);
            }
            out.put_i16(code);
            if head.api == Api::SyncGroup as i16 {
                // assignment
                out.put_i32(0);
            }
        }
        Api::Fetch | Api::ListOffsets | Api::Metadata | Api::FindCoordinator => return None,
    }
    Some(out)
}

/// Tagged fields of the head, of which there are none, `throttle_time_ms`, `error_code`.
fn begin(is_flexible: bool, code: i16, out: &mut BytesMut) {
    out.put_bytes(0, usize::from(is_flexible));
    out.put_i32(0);
    out.put_i16(code);
}

/// Whether a client waits for an answer: not to a `Produce` with `acks=0`.
pub(super) fn is_answered(head: Head, mut fields: Fields<'_>) -> Option<bool> {
    if head.api != Api::Produce as i16 {
        return Some(true);
    }
    fields.string()?;
    if head.version >= 3 {
        fields.string()?;
    }
    Some(fields.int16()? != 0)
}

/// Versions up to 8.
fn produce(version: i16, mut fields: Fields<'_>, code: i16, out: &mut BytesMut) -> Option<()> {
    if version >= 3 {
        fields.string()?;
    }
    // acks, timeout_ms
    fields.take(6)?;
    let topics = fields.length()?;
    out.put_i32(topics.try_into().ok()?);
    for _ in 0..topics {
        out.put_slice(fields.string()?);
        let partitions = fields.length()?;
        out.put_i32(partitions.try_into().ok()?);
        for _ in 0..partitions {
            out.put_i32(fields.int32()?);
            fields.bytes()?;
            out.put_i16(code);
            // base_offset, log_append_time_ms, log_start_offset
            let numbers = 1 + usize::from(version >= 2) + usize::from(version >= 5);
            out.put_bytes(0xff, 8 * numbers);
            if version >= 8 {
                // record_errors, error_message
                out.put_i32(0);
                out.put_i16(-1);
            }
        }
    }
    if version >= 1 {
        out.put_i32(0);
    }
    Some(())
}

/// Versions up to 2.
fn add_partitions(mut fields: Fields<'_>, code: i16, out: &mut BytesMut) -> Option<()> {
    fields.string()?;
    // producer_id, producer_epoch
    fields.take(10)?;
    out.put_i32(0);
    let topics = fields.length()?;
    out.put_i32(topics.try_into().ok()?);
    for _ in 0..topics {
        out.put_slice(fields.string()?);
        let partitions = fields.length()?;
        out.put_i32(partitions.try_into().ok()?);
        for _ in 0..partitions {
            out.put_i32(fields.int32()?);
            out.put_i16(code);
        }
    }
    Some(())
}

/// Versions up to 5.
fn join_group(version: i16, mut fields: Fields<'_>, code: i16, out: &mut BytesMut) -> Option<()> {
    // group_id, session_timeout_ms, rebalance_timeout_ms
    fields.string()?;
    fields.take(if version >= 1 { 8 } else { 4 })?;
    let member = fields.string()?;
    if version >= 2 {
        out.put_i32(0);
    }
    out.put_i16(code);
    // generation_id, protocol_name, leader, member_id, members
    out.put_i32(-1);
    put_string(out, "");
    put_string(out, "");
    out.put_slice(member);
    out.put_i32(0);
    Some(())
}
