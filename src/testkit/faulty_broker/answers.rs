//! Answers of the broker that say where brokers are or what they can do, and answers with errors in them.
//!
//! Field names are those of the protocol's reference. Bodies begin behind the correlation id.

use bytes::{BufMut, BytesMut};

use super::rule::Api;
use super::wire::{Fields, put_string, put_varint};

/// `ApiVersions`.
pub(super) const API_VERSIONS: i16 = 18;
/// `SaslHandshake`.
pub(super) const SASL_HANDSHAKE: i16 = 17;
/// `SaslAuthenticate`.
pub(super) const SASL_AUTHENTICATE: i16 = 36;

/// The highest version of each request whose answer can be read or made here: mostly the last one before the flexible
/// ones, which have another encoding.
const HIGHEST: [(i16, i16); 13] = [
    (Api::Produce as i16, 8),
    (Api::Fetch as i16, 11),
    (Api::ListOffsets as i16, 5),
    (Api::Metadata as i16, 8),
    (Api::FindCoordinator as i16, 2),
    (Api::JoinGroup as i16, 5),
    (Api::Heartbeat as i16, 3),
    (Api::SyncGroup as i16, 3),
    (Api::InitProducerId as i16, 4),
    (Api::AddPartitionsToTxn as i16, 2),
    (Api::EndTxn as i16, 3),
    (SASL_HANDSHAKE, 1),
    (SASL_AUTHENTICATE, 1),
];

/// Requests that are not offered: `DescribeCluster`, which tells where brokers are.
const HIDDEN: [i16; 1] = [60];

/// Where a client is to find every broker: at the proxy.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    fn put(&self, out: &mut BytesMut) {
        put_string(out, &self.host);
        out.put_i32(self.port.into());
    }
}

/// `ApiVersions` with the versions that can be dealt with here, and with logins whether the broker knows them or not.
pub(super) fn api_versions(version: i16, body: &[u8]) -> Option<BytesMut> {
    let mut fields = Fields(body);
    let error = fields.int16()?;
    if error != 0 {
        // It does not know the version, and the client will ask in another.
        return Some(BytesMut::from(body));
    }
    let is_compact = version >= 3;
    let count =
        if is_compact { fields.varint()?.checked_sub(1)? } else { u32::try_from(fields.length()?).ok()? };
    let mut known = Vec::new();
    for _ in 0..count {
        known.push((fields.int16()?, fields.int16()?, fields.int16()?));
        if is_compact {
            fields.tags()?;
        }
    }
    known.retain(|(api, ..)| !HIDDEN.contains(api));
    for (api, highest) in HIGHEST {
        match known.iter_mut().find(|(known, ..)| *known == api) {
            Some((_, _, max)) => *max = highest.min(*max),
            None if api == SASL_HANDSHAKE || api == SASL_AUTHENTICATE => known.push((api, 0, highest)),
            None => {}
        }
    }
    let mut out = BytesMut::new();
    out.put_i16(error);
    let count = u32::try_from(known.len()).ok()?;
    if is_compact {
        put_varint(&mut out, count + 1)
    } else {
        out.put_u32(count)
    }
    for (api, min, max) in known {
        out.put_i16(api);
        out.put_i16(min);
        out.put_i16(max);
        if is_compact {
            out.put_u8(0);
        }
    }
    out.put_slice(fields.0);
    Some(out)
}

/// An error code, and the topic whose partitions have it: all where there is none.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: i16,
    pub(super) topic: Option<String>,
}

impl Refusal {
    fn is_of(&self, name: &[u8]) -> bool {
        self.topic.as_ref().is_none_or(|topic| Some(topic.as_bytes()) == name.get(2..))
    }
}

/// `Metadata` of versions up to 8: every broker is at `place`, and topics that are refused have no partitions.
pub(super) fn metadata(
    version: i16,
    body: &[u8],
    place: &Place,
    refusal: Option<&Refusal>,
) -> Option<BytesMut> {
    let mut fields = Fields(body);
    let mut out = BytesMut::with_capacity(body.len() + 64);
    if version >= 3 {
        out.put_i32(fields.int32()?);
    }
    let brokers = fields.length()?;
    out.put_i32(brokers.try_into().ok()?);
    for _ in 0..brokers {
        out.put_i32(fields.int32()?);
        fields.string()?;
        fields.int32()?;
        place.put(&mut out);
        if version >= 1 {
            out.put_slice(fields.string()?);
        }
    }
    if version >= 2 {
        out.put_slice(fields.string()?);
    }
    if version >= 1 {
        out.put_i32(fields.int32()?);
    }
    let Some(refusal) = refusal else {
        out.put_slice(fields.0);
        return Some(out);
    };
    let topics = fields.length()?;
    out.put_i32(topics.try_into().ok()?);
    for _ in 0..topics {
        metadata_topic(version, &mut fields, refusal, &mut out)?;
    }
    out.put_slice(fields.0);
    Some(out)
}

fn metadata_topic(
    version: i16,
    fields: &mut Fields<'_>,
    refusal: &Refusal,
    out: &mut BytesMut,
) -> Option<()> {
    let error = fields.int16()?;
    let name = fields.string()?;
    let is_internal = if version >= 1 { fields.take(1)? } else { &[] };
    let before = *fields;
    for _ in 0..fields.length()? {
        // Its error, its number and its leader; then the leader's epoch.
        fields.take(10)?;
        fields.take(if version >= 7 { 4 } else { 0 })?;
        for _ in 0..if version >= 5 { 3 } else { 2 } {
            let nodes = fields.length()?;
            fields.take(nodes.checked_mul(4)?)?;
        }
    }
    let partitions = before.0.get(..before.0.len() - fields.0.len())?;
    let is_refused = refusal.is_of(name);
    out.put_i16(if is_refused { refusal.code } else { error });
    out.put_slice(name);
    out.put_slice(is_internal);
    out.put_slice(if is_refused { &[0; 4] } else { partitions });
    if version >= 8 {
        out.put_slice(fields.take(4)?);
    }
    Some(())
}

/// `FindCoordinator` of versions up to 2: the coordinator is at `place`, or cannot be told.
pub(super) fn find_coordinator(
    version: i16,
    body: &[u8],
    place: &Place,
    refusal: Option<&Refusal>,
) -> Option<BytesMut> {
    let mut fields = Fields(body);
    let mut out = BytesMut::with_capacity(body.len() + 64);
    if version >= 1 {
        out.put_i32(fields.int32()?);
    }
    let error = fields.int16()?;
    out.put_i16(refusal.map_or(error, |refusal| refusal.code));
    if version >= 1 {
        out.put_slice(fields.string()?);
    }
    let node = fields.int32()?;
    if refusal.is_none() && error == 0 {
        out.put_i32(node);
        place.put(&mut out);
    } else {
        out.put_i32(-1);
        put_string(&mut out, "");
        out.put_i32(-1);
    }
    Some(out)
}

/// `Fetch` of versions 4 to 11, without records of what is refused.
pub(super) fn fetch(version: i16, body: &[u8], refusal: &Refusal) -> Option<BytesMut> {
    if version < 4 {
        return None;
    }
    let mut fields = Fields(body);
    let mut out = BytesMut::with_capacity(body.len());
    out.put_slice(fields.take(if version >= 7 { 10 } else { 4 })?);
    let topics = fields.length()?;
    out.put_i32(topics.try_into().ok()?);
    for _ in 0..topics {
        let name = fields.string()?;
        out.put_slice(name);
        let partitions = fields.length()?;
        out.put_i32(partitions.try_into().ok()?);
        for _ in 0..partitions {
            fetched_partition(version, &mut fields, refusal.is_of(name).then_some(refusal.code), &mut out)?;
        }
    }
    out.put_slice(fields.0);
    Some(out)
}

fn fetched_partition(
    version: i16,
    fields: &mut Fields<'_>,
    code: Option<i16>,
    out: &mut BytesMut,
) -> Option<()> {
    out.put_i32(fields.int32()?);
    let error = fields.int16()?;
    out.put_i16(code.unwrap_or(error));
    // high_watermark, last_stable_offset, log_start_offset
    out.put_slice(fields.take(if version >= 5 { 24 } else { 16 })?);
    let aborted = fields.int32()?;
    out.put_i32(aborted);
    out.put_slice(fields.take(usize::try_from(aborted).unwrap_or(0).checked_mul(16)?)?);
    if version >= 11 {
        out.put_i32(fields.int32()?);
    }
    let records = fields.bytes()?;
    let records = if code.is_some() { &[] } else { records };
    out.put_i32(records.len().try_into().ok()?);
    out.put_slice(records);
    Some(())
}

/// `ListOffsets` of versions 1 to 5, without the offsets of what is refused.
pub(super) fn list_offsets(version: i16, body: &[u8], refusal: &Refusal) -> Option<BytesMut> {
    if version < 1 {
        return None;
    }
    let mut fields = Fields(body);
    let mut out = BytesMut::with_capacity(body.len());
    out.put_slice(fields.take(if version >= 2 { 4 } else { 0 })?);
    let topics = fields.length()?;
    out.put_i32(topics.try_into().ok()?);
    for _ in 0..topics {
        let name = fields.string()?;
        out.put_slice(name);
        let (is_refused, partitions) = (refusal.is_of(name), fields.length()?);
        out.put_i32(partitions.try_into().ok()?);
        for _ in 0..partitions {
            out.put_i32(fields.int32()?);
            let error = fields.int16()?;
            out.put_i16(if is_refused { refusal.code } else { error });
            // timestamp, offset, leader_epoch
            let found = fields.take(if version >= 4 { 20 } else { 16 })?;
            match is_refused {
                true => out.put_bytes(0xff, found.len()),
                false => out.put_slice(found),
            }
        }
    }
    out.put_slice(fields.0);
    Some(out)
}
