//! Messages, in whatever pieces they come.

use proptest::prelude::*;

use super::*;

const GET: &str = "GET /v1/streams HTTP/1.1\r\nhost: a\r\n\r\n";

fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/streams/s/records HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

/// The first flaw of these bytes, read in pieces of so many.
fn flawed(bytes: &[u8], piece: usize) -> Option<(u64, Flaw)> {
    let mut wire = Wire::default();
    bytes.chunks(piece).for_each(|piece| wire.follow(piece));
    wire.flawed()
}

fn found(text: &str) -> Option<(u64, Flaw)> {
    let whole = flawed(text.as_bytes(), usize::MAX);
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(flawed(text.as_bytes(), piece), whole, "{text:?} by {piece}");
    }
    whole
}

#[test]
fn a_message_is_over_with_its_last_byte_and_not_before() {
    let chunks = post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n");
    for message in [GET.to_owned(), post("Content-Length: 5\r\n", "12345"), chunks] {
        let mut wire = Wire::default();
        assert!(wire.is_between_messages());
        let (last, others) = message.as_bytes().split_last().unwrap();
        for byte in others {
            wire.follow(&[*byte]);
            assert!(!wire.is_between_messages(), "{message:?}");
        }
        wire.follow(&[*last]);
        assert!(wire.is_between_messages(), "{message:?}");
    }
}

#[test]
fn a_length_and_chunks_are_no_message() {
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "transfer-encoding: chunked\r\nCONTENT-LENGTH:5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
    ] {
        let text = post(headers, "0\r\n\r\n");
        assert_eq!(found(&text), Some((0, Flaw::TwoLengths)), "{headers}");
        assert_eq!(found(&format!("{GET}{text}")), Some((1, Flaw::TwoLengths)), "{headers}");
    }
}

#[test]
fn a_line_ends_with_both_of_its_bytes() {
    assert_eq!(found("GET / HTTP/1.1\nhost: a\r\n\r\n"), Some((0, Flaw::BareLineFeed)));
    assert_eq!(found("GET / HTTP/1.1\r\nhost: a\n\r\n"), Some((0, Flaw::BareLineFeed)));
    assert_eq!(found("GET / HTTP/1.1\r\nhost: a\r\n\n"), Some((0, Flaw::BareLineFeed)));
    assert_eq!(found(&format!("{GET}\n{GET}")), Some((1, Flaw::BareLineFeed)));
    assert_eq!(found(&format!("\r\n{GET}\r\n{GET}")), None);
}

#[test]
fn a_target_has_no_fragment_and_a_header_may_have_one() {
    assert_eq!(found("GET /#a HTTP/1.1\r\nhost: a\r\n\r\n"), Some((0, Flaw::Fragment)));
    assert_eq!(found("GET / HTTP/1.1\r\nhost: a\r\nreferer: /#a\r\n\r\n"), None);
}

#[test]
fn what_stands_in_bodies_is_no_head() {
    let inner = "GET /# HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked\n\n";
    let length = post(&format!("Content-Length: {}\r\n", inner.len()), inner);
    assert_eq!(found(&format!("{length}{length}{GET}")), None);
    let chunks = format!("{:x};a=b\r\n{inner}\r\n0\r\nx: y\r\n\r\n", inner.len());
    let chunks = post("Transfer-Encoding: chunked\r\n", &chunks);
    assert_eq!(found(&format!("{chunks}{chunks}{GET}")), None);
    // And behind them it is one.
    assert_eq!(found(&format!("{length}{chunks}{inner}")), Some((2, Flaw::Fragment)));
}

#[test]
fn zeros_in_front_of_a_length_hide_no_request() {
    let zeros = "0".repeat(LINE_BYTES_KEPT);
    let inner = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n";
    let length = post(&format!("Content-Length: {zeros}{}\r\n", inner.len()), inner);
    let chunks =
        post("Transfer-Encoding: chunked\r\n", &format!("{zeros}{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()));
    let smuggled = post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
    for first in [length, chunks] {
        let text = format!("{first}{smuggled}");
        // Whole it is read to its end. In pieces it is not, and then nothing is believed either.
        assert_eq!(flawed(text.as_bytes(), usize::MAX), Some((1, Flaw::TwoLengths)), "{text}");
        for piece in [1, 7, 60] {
            let flawed = flawed(text.as_bytes(), piece);
            assert!(
                matches!(flawed, Some((0 | 1, Flaw::Unframed | Flaw::TwoLengths))),
                "{text} by {piece}: {flawed:?}"
            );
        }
    }
}

#[test]
fn a_length_that_is_none_ends_what_is_believed() {
    for length in ["+5", "5, 5", "", "-1", "99999999999999999999999", "0x5"] {
        let text = post(&format!("Content-Length: {length}\r\n"), "");
        assert_eq!(found(&text), Some((0, Flaw::Unframed)), "{length}");
    }
    let far = post(&format!("Content-Length: {}5\r\n", " ".repeat(LINE_BYTES_KEPT)), "");
    assert_eq!(flawed(far.as_bytes(), 1), Some((0, Flaw::Unframed)));
    let chunks = post("Transfer-Encoding: chunked\r\n", "zz\r\n");
    assert_eq!(found(&chunks), Some((1, Flaw::Unframed)));
}

#[derive(Debug, Clone)]
enum Framing {
    None,
    Length,
    Chunks(usize),
}

fn message((framing, body): &(Framing, Vec<u8>)) -> Vec<u8> {
    match framing {
        Framing::None => GET.as_bytes().to_vec(),
        Framing::Length => {
            [post(&format!("content-length:  {} \r\n", body.len()), "").as_bytes(), body].concat()
        }
        Framing::Chunks(size) => {
            let mut text = post("transfer-encoding: chunked\r\n", "").into_bytes();
            for chunk in body.chunks(*size) {
                text.extend(format!("{:X}\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\n");
            text
        }
    }
}

proptest! {
    /// Whatever the bodies are and wherever reads end, right messages have no flaw, and the flaw of one that follows is
    /// found in its place.
    #[test]
    fn messages_are_followed_however_they_come(
        messages in prop::collection::vec(
            (
                prop_oneof![Just(Framing::None), Just(Framing::Length), (1..40_usize).prop_map(Framing::Chunks)],
                prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'#'), any::<u8>()], 0..100),
            ),
            0..6,
        ),
        piece in 1..300_usize,
    ) {
        let mut bytes = messages.iter().flat_map(message).collect::<Vec<_>>();
        prop_assert_eq!(flawed(&bytes, piece), None);
        bytes.extend(post("content-length: 3\r\ntransfer-encoding: chunked\r\n", "").bytes());
        prop_assert_eq!(flawed(&bytes, piece), Some((messages.len() as u64, Flaw::TwoLengths)));
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..500), piece in 1..50_usize) {
        prop_assert_eq!(flawed(&bytes, piece), flawed(&bytes, usize::MAX));
    }
}
