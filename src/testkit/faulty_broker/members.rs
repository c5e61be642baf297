//! Names for members of consumer groups, where the broker behind the proxy is librdkafka's mock cluster.
//!
//! The mock names a member that has no name yet by the address of its struct. A member that it has lost is freed, and the
//! next one may get the same address: if the first one comes back under its old name, two members of the group have one. The
//! one that does not lead then reads that it does, with no members to lead, and librdkafka's cooperative assignor follows a
//! null pointer (`rd_kafka_sticky_assignor.c`, seen with 2.12.1). The mock takes any name that a member brings.

use std::sync::atomic::{AtomicU64, Ordering};

use super::wire::{Fields, Head};

const JOIN_GROUP: i16 = 11;
/// The last version whose strings have lengths of 16 bits.
const VERSION_MAX: i16 = 5;

/// The request with a name that nobody else has, if it is one to join a group and has none. `fields` are those behind its
/// head.
pub(super) fn named(head: Head, mut fields: Fields<'_>, frame: &[u8]) -> Option<Vec<u8>> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if head.api != JOIN_GROUP || head.version > VERSION_MAX {
        return None;
    }
    let _client = fields.string()?;
    let _group = fields.string()?;
    let _session_timeout = fields.int32()?;
    if head.version >= 1 {
        let _rebalance_timeout = fields.int32()?;
    }
    let before = frame.get(..frame.len().checked_sub(fields.0.len())?)?;
    if fields.string()? != [0, 0] {
        return None;
    }
    let name = format!("member-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let length = u16::try_from(name.len()).ok()?.to_be_bytes();
    Some([before, &length, name.as_bytes(), fields.0].concat())
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::super::wire::put_string;
    use super::*;

    fn join(version: i16, member: &str) -> Vec<u8> {
        let mut frame = BytesMut::new();
        [JOIN_GROUP, version].into_iter().for_each(|number| frame.put_i16(number));
        frame.put_i32(7);
        put_string(&mut frame, "rdkafka");
        put_string(&mut frame, "group");
        frame.put_i32(3_000);
        if version >= 1 {
            frame.put_i32(10_000);
        }
        put_string(&mut frame, member);
        frame.put_slice(b"behind");
        frame.to_vec()
    }

    fn renamed(frame: &[u8]) -> Option<Vec<u8>> {
        let mut fields = Fields(frame);
        let head = Head::read(&mut fields).unwrap();
        named(head, fields, frame)
    }

    #[test]
    fn members_without_a_name_have_one_each() {
        for version in 0..=VERSION_MAX {
            let names: Vec<_> = (0..2)
                .map(|_| {
                    let frame = renamed(&join(version, "")).unwrap();
                    let name = String::from_utf8_lossy(&frame).into_owned();
                    let name =
                        name[name.find("member-").unwrap()..].strip_suffix("behind").unwrap().to_owned();
                    assert_eq!(frame, join(version, &name), "nothing else has changed");
                    name
                })
                .collect();
            assert_ne!(names[0], names[1]);
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        assert_eq!(renamed(&join(5, "member of before")), None);
        assert_eq!(renamed(&join(6, "")), None, "of another layout");
        let mut heartbeat = join(0, "");
        heartbeat[1] = 12;
        assert_eq!(renamed(&heartbeat), None);
        let whole = join(0, "");
        (8..whole.len() - "behind".len() - 2).for_each(|cut| assert_eq!(renamed(&whole[..cut]), None));
    }
}
