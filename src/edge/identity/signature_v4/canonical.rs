//! The canonical request: the text that a client and we make of the same request, and sign.
//!
//! As AWS specifies it for all services but S3 ("Create a signed AWS API request", Signature Version 4): method, path
//! without dot segments and empty ones, query sorted by encoded names and values, signed headers with their white space
//! folded, their names, and the hash of the body. Lines end with a line feed.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::error::{IdentityError, shown};
use crate::config::limits::HEADERS_MAX;

/// What clients call the host where they sign requests over HTTP/2, as the JavaScript SDK does to Kinesis.
pub(super) const AUTHORITY: &str = ":authority";

/// Everything of the canonical request but the last line, which is the hash of the body. `signed_headers` are the names
/// as the request lists them; `without_parameter` is a parameter of the query that is left out.
///
/// # Errors
/// If the list has a name twice, out of order, in capitals, or one that the request does not have.
pub(super) fn canonical_head(
    head: &Parts,
    signed_headers: &str,
    without_parameter: Option<&str>,
) -> Result<Vec<u8>, IdentityError> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(head.method.as_str().as_bytes());
    text.push(b'\n');
    write_path(head.uri.path(), &mut text);
    text.push(b'\n');
    write_query(head.uri.query().unwrap_or_default(), without_parameter, &mut text);
    text.push(b'\n');
    write_headers(head, signed_headers, &mut text)?;
    text.push(b'\n');
    text.extend_from_slice(signed_headers.as_bytes());
    text.push(b'\n');
    Ok(text)
}

/// The path as it came is encoded a second time, so that what was `%20` is `%2520`.
fn write_path(path: &str, text: &mut Vec<u8>) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        text.push(b'/');
        write_encoded(segment.as_bytes(), text);
    }
    if segments.is_empty() || path.ends_with('/') {
        text.push(b'/');
    }
}

/// Names and values are decoded and encoded again, so that clients need not agree about what is encoded.
fn write_query(query: &str, without: Option<&str>, text: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (percent_decode_str(name), percent_decode_str(value)))
        .map(|(name, value)| (Cow::from(name), Cow::from(value)))
        .filter(|(name, _)| without.is_none_or(|without| **name != *without.as_bytes()))
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
    }
}

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    write_encoded(bytes, &mut text);
    text
}

/// RFC 3986's unreserved characters as they are, all others as `%2F`, in capitals.
fn write_encoded(bytes: &[u8], text: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(byte);
        } else {
            text.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

fn write_headers(head: &Parts, signed_headers: &str, text: &mut Vec<u8>) -> Result<(), IdentityError> {
    let mut last = "";
    for (index, name) in signed_headers.split(';').enumerate() {
        // The order also keeps one large header from being asked for again and again.
        if name <= last || index >= HEADERS_MAX || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(IdentityError::Incomplete(
                "'SignedHeaders' must be names in lower case, each once, in alphabetical order.".to_owned(),
            ));
        }
        last = name;
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        let mut values = head.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).peekable();
        if values.peek().is_some() {
            for (index, value) in values.enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write_folded(value, text);
            }
        } else if let Some(host) = other_host(head, name) {
            write_folded(host, text);
        } else {
            return Err(IdentityError::Incomplete(format!(
                "'{}' is in 'SignedHeaders', but the request has no such header.",
                shown(name.as_bytes())
            )));
        }
        text.push(b'\n');
    }
    Ok(())
}

/// The host where the request does not have it as the header of this name: one of HTTP/2 has `:authority`, which comes
/// as a part of its URI.
fn other_host<'h>(head: &'h Parts, name: &str) -> Option<&'h [u8]> {
    if name != HOST.as_str() && name != AUTHORITY {
        return None;
    }
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    authority.or_else(|| head.headers.get(HOST).map(http::HeaderValue::as_bytes))
}

/// Without white space at both ends, and with one space for each row of it within.
fn write_folded(value: &[u8], text: &mut Vec<u8>) {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> String {
        let mut text = Vec::new();
        write_path(path, &mut text);
        String::from_utf8(text).expect("text")
    }

    fn query(query: &str, without: Option<&str>) -> String {
        let mut text = Vec::new();
        write_query(query, without, &mut text);
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn paths_lose_their_dots_and_empty_segments_and_are_encoded_again() {
        for (found, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a//b/", "/a/b/"),
            ("/./a", "/a"),
            ("/a/..", "/"),
            ("/a/../..", "/"),
            ("/../a", "/a"),
            ("/a/b/../..", "/"),
            ("/a/.", "/a"),
            ("/%20 é", "/%2520%20%C3%A9"),
            ("/-._~", "/-._~"),
        ] {
            assert_eq!(path(found), canonical, "{found}");
        }
    }

    #[test]
    fn queries_are_sorted_by_what_is_encoded() {
        for (found, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&A=3&a", "A=3&a=&a=1&a=2"),
            ("a=%7e%2f/", "a=~%2F%2F"),
            ("a=%zz&é=b=c", "%C3%A9=b%3Dc&a=%25zz"),
            ("a+b=c+d", "a%2Bb=c%2Bd"),
            ("&a", "=&a="),
        ] {
            assert_eq!(query(found, None), canonical, "{found}");
        }
        assert_eq!(query("X-Amz-Signature=1&a=b", Some("X-Amz-Signature")), "a=b");
        assert_eq!(query("x-amz-signature=1", Some("X-Amz-Signature")), "x-amz-signature=1");
    }

    fn head_of(request: http::request::Builder) -> Parts {
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn headers_are_folded_and_repeated_ones_are_joined() {
        let head = head_of(
            http::Request::post("/")
                .header("host", "h:8080")
                .header("a", " \t x   \"y  z\" ")
                .header("a", "2")
                .header("other", "not signed"),
        );
        let text = canonical_head(&head, "a;host", None).expect("both are there");
        assert_eq!(String::from_utf8(text).unwrap(), "POST\n/\n\na:x \"y z\",2\nhost:h:8080\n\na;host\n");
    }

    #[test]
    fn the_host_of_http_2_is_the_authority() {
        let head = head_of(http::Request::get("http://h:81/"));
        for (name, head) in [
            ("host", &head),
            (":authority", &head),
            (":authority", &head_of(http::Request::get("/").header("host", "h:81"))),
        ] {
            let text = canonical_head(head, name, None).expect("it is there");
            assert_eq!(String::from_utf8(text).unwrap(), format!("GET\n/\n\n{name}:h:81\n\n{name}\n"));
        }
        let nowhere = head_of(http::Request::get("/"));
        assert!(canonical_head(&nowhere, ":authority", None).is_err());
    }

    #[test]
    fn a_list_of_headers_that_is_not_in_order_is_refused() {
        let head = head_of(http::Request::get("/").header("host", "h").header("a", "1"));
        for list in ["", "host;a", "a;a;host", "Host", "a;;host", "a;host;"] {
            assert!(canonical_head(&head, list, None).is_err(), "{list}");
        }
        let missing = canonical_head(&head, "a;b", None).expect_err("b is missing").to_string();
        assert_eq!(missing, "'b' is in 'SignedHeaders', but the request has no such header.");
    }
}
