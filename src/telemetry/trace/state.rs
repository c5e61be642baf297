//! `tracestate`: a list of what systems of tracing tell each other, handed on as it came if it is right.

use http::{HeaderMap, HeaderValue};

use super::context::TRACE_STATE;
use crate::config::limits::{TRACE_STATE_BYTES_MAX, TRACE_STATE_MEMBERS_MAX};

/// Bytes of a key without a tenant; and of a tenant and a system.
const KEY_BYTES_MAX: usize = 256;
const TENANT_BYTES_MAX: usize = 241;
const SYSTEM_BYTES_MAX: usize = 14;
/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 256;

/// All headers of it as one, without what is empty, and without members at the end that are too many bytes. `None` if
/// there is nothing, or something that is wrong: then none of it is worth anything.
pub(super) fn of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members: Vec<&str> = Vec::new();
    for value in headers.get_all(&TRACE_STATE) {
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let is_twice = members.iter().any(|known| known.split_once('=').is_some_and(|(it, _)| it == key));
            if !is_key(key) || !is_value(value) || is_twice || members.len() >= TRACE_STATE_MEMBERS_MAX {
                return None;
            }
            members.push(member);
        }
    }
    let mut bytes = 0;
    members.retain(|member| {
        // One comma less than members.
        bytes += member.len() + 1;
        bytes <= TRACE_STATE_BYTES_MAX + 1
    });
    if members.is_empty() { None } else { HeaderValue::from_str(&members.join(",")).ok() }
}

fn is_key(key: &str) -> bool {
    let is_rest = |text: &str| {
        text.bytes().all(|byte| is_lower(byte) || byte.is_ascii_digit() || b"_-*/".contains(&byte))
    };
    let first = |text: &str| text.bytes().next().unwrap_or_default();
    match key.split_once('@') {
        None => key.len() <= KEY_BYTES_MAX && is_lower(first(key)) && is_rest(key),
        Some((tenant, system)) => {
            let starts = is_lower(first(tenant)) || first(tenant).is_ascii_digit();
            let is_tenant = tenant.len() <= TENANT_BYTES_MAX && starts && is_rest(tenant);
            is_tenant && system.len() <= SYSTEM_BYTES_MAX && is_lower(first(system)) && is_rest(system)
        }
    }
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase()
}

fn is_value(value: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    (1..=VALUE_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_plain) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(values: &[&str]) -> Option<String> {
        let values = values.iter().map(|value| (TRACE_STATE, HeaderValue::from_str(value).unwrap()));
        of(&values.collect()).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn members_are_handed_on_in_their_order() {
        for (values, wanted) in [
            (&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"][..], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (&["a=1", "b=2"], "a=1,b=2"),
            (&[" a=1 ,\tb=2 ,, "], "a=1,b=2"),
            (&["1a-2f@foo=1,foo*/_-=x y"], "1a-2f@foo=1,foo*/_-=x y"),
        ] {
            assert_eq!(state(values).as_deref(), Some(wanted));
        }
        for nothing in [&[][..], &[""], &[" , "]] {
            assert_eq!(state(nothing), None);
        }
    }

    #[test]
    fn one_wrong_member_makes_all_of_it_worthless() {
        let long_key = "k".repeat(257);
        let long_value = "v".repeat(257);
        for wrong in [
            "a",
            "=1",
            "a=",
            "A=1",
            "0a=1",
            "a=1=2",
            "@a=1",
            "a@=1",
            "a@@b=1",
            "a@b@c=1",
            "a@0b=1",
            "a@abcdefghijklmno=1",
            "foo =1",
            "a=1,a=2",
            &format!("{long_key}=1"),
            &format!("a={long_value}"),
        ] {
            assert_eq!(state(&["ok=1", wrong]), None, "{wrong}");
        }
        let many = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert!(state(&[&many(32)]).is_some());
        assert_eq!(state(&[&many(33)]), None);
    }

    #[test]
    fn what_is_too_long_loses_members_at_its_end() {
        let member = |key: &str| format!("{key}={}", "v".repeat(168));
        let all = ["aa", "bb", "cc", "dd"].map(|key| member(key)).join(",");
        let kept = state(&[&all]).unwrap();
        assert_eq!(kept, ["aa", "bb"].map(|key| member(key)).join(","));
        let exact = format!("a={},b={}", "v".repeat(253), "w".repeat(254));
        assert_eq!((exact.len(), state(&[&exact])), (TRACE_STATE_BYTES_MAX, Some(exact.clone())));
    }
}
