use super::*;
use crate::config::Secret;
use crate::edge::identity::signature_v4::signing::Scope;
use proptest::prelude::*;

/// The signatures of AWS's own example of a body in three pieces ("Example: PUT Object", and the same with a trailing
/// checksum).
const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const SIGNATURES: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];
const TRAILER_SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
const TRAILER_SIGNATURES: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];
const TRAILER: &str = "x-amz-checksum-crc32c:sOO8/Q==\r\n\
    x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n";

fn signer(seed: &str) -> ChunkSigner {
    let scope =
        Scope { date: "20130524".to_owned(), region: "us-east-1".to_owned(), service: "s3".to_owned() };
    ChunkSigner {
        key: scope.derive(&Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")),
        context: format!("20130524T000000Z\n{scope}"),
        previous: hex(&unhex(seed.as_bytes()).expect("hex")),
    }
}

fn signed() -> Chunks {
    Chunks { signer: Some(signer(SEED)), has_trailers: false, decoded_bytes: Some(66_560) }
}

fn signed_with_trailer() -> Chunks {
    Chunks { signer: Some(signer(TRAILER_SEED)), has_trailers: true, decoded_bytes: Some(66_560) }
}

fn unsigned() -> Chunks {
    Chunks { signer: None, has_trailers: true, decoded_bytes: None }
}

/// AWS's example: 65 KiB of the letter a in pieces of 64 KiB and 1 KiB.
fn example(signatures: [&str; 3], trailer: &str) -> Vec<u8> {
    let [first, second, last] = signatures;
    format!(
        "10000;chunk-signature={first}\r\n{}\r\n400;chunk-signature={second}\r\n{}\r\n0;chunk-signature={last}\r\n{trailer}\r\n",
        "a".repeat(65_536),
        "a".repeat(1_024)
    )
    .into_bytes()
}

fn decoded(chunks: Chunks, body: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let mut body = body.to_vec();
    chunks.decode(&mut body).map(|()| body)
}

#[test]
fn signed_pieces_are_put_together() {
    assert_eq!(decoded(signed(), &example(SIGNATURES, "")), Ok(vec![b'a'; 66_560]));
    let with_trailer = example(TRAILER_SIGNATURES, TRAILER);
    assert_eq!(decoded(signed_with_trailer(), &with_trailer), Ok(vec![b'a'; 66_560]));
}

#[test]
fn each_changed_byte_of_signed_pieces_is_refused() {
    for (make, body) in [
        (signed as fn() -> Chunks, example(SIGNATURES, "")),
        (signed_with_trailer, example(TRAILER_SIGNATURES, TRAILER)),
    ] {
        // Within the long rows of a, one in a thousand stands for its neighbours.
        let places = (0..body.len()).filter(|&at| body[at] != b'a' || at % 1_000 == 0);
        for at in places {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert!(decoded(make(), &changed).is_err(), "byte {at}");
        }
        for end in [0, 10, 90, 65_000, body.len() - 1] {
            assert!(decoded(make(), &body[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn pieces_cannot_change_places_or_be_left_out() {
    let [first, second, last] = SIGNATURES;
    let piece = |length: usize, signature: &str| {
        format!("{length:x};chunk-signature={signature}\r\n{}\r\n", "a".repeat(length))
    };
    let (first, second, last) = (piece(65_536, first), piece(1_024, second), piece(0, last));
    let mut right = signed();
    right.decoded_bytes = None;
    assert!(decoded(right, format!("{first}{second}{last}").as_bytes()).is_ok());
    for wrong in [format!("{second}{first}{last}"), format!("{first}{last}"), last] {
        let mut chunks = signed();
        chunks.decoded_bytes = None;
        assert_eq!(decoded(chunks, wrong.as_bytes()), Err(IdentityError::mismatch()));
    }
}

#[test]
fn what_is_no_row_of_pieces_says_why() {
    let most = format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILERS_MAX));
    assert_eq!(decoded(unsigned(), most.as_bytes()), Ok(Vec::new()));
    assert_eq!(decoded(unsigned(), b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n").as_deref(), Ok(&b"abcd"[..]));
    let too_many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILERS_MAX + 1));
    for (body, why) in [
        ("", "a line has no end"),
        ("3", "a line has no end"),
        ("\r\n", "a chunk does not begin with its size"),
        ("+3\r\nabc\r\n0\r\n\r\n", "a chunk does not begin with its size"),
        ("ffffffffffffffffff\r\n", "a chunk does not begin with its size"),
        ("ffffffffffffffff\r\n", "it ends within a chunk"),
        ("4\r\nabc", "it ends within a chunk"),
        ("3\r\nabcd\r\n0\r\n\r\n", "a chunk is longer than its announced size"),
        ("3\r\nabc\r\n", "a line has no end"),
        ("0\r\nab\r\n\r\n", "a line of its trailer has no colon"),
        ("0\r\n\r\nab", "there is something behind its end"),
        (too_many.as_str(), "its trailer has too many lines"),
    ] {
        assert_eq!(decoded(unsigned(), body.as_bytes()), Err(IdentityError::Chunks(why)), "{body:?}");
    }
    let mut announced = unsigned();
    announced.decoded_bytes = Some(4);
    let why = "it does not have the size that x-amz-decoded-content-length says";
    assert_eq!(decoded(announced, b"3\r\nabc\r\n0\r\n\r\n"), Err(IdentityError::Chunks(why)));
    let why = "a chunk has no chunk-signature";
    assert_eq!(decoded(signed(), b"3\r\nabc\r\n0\r\n\r\n"), Err(IdentityError::Chunks(why)));
    let why = "its trailer has no x-amz-trailer-signature";
    let without = example(TRAILER_SIGNATURES, "");
    assert_eq!(decoded(signed_with_trailer(), &without), Err(IdentityError::Chunks(why)));
    let why = "it has a trailer that its header does not announce";
    assert_eq!(decoded(signed(), &example(SIGNATURES, TRAILER)), Err(IdentityError::Chunks(why)));
}

proptest! {
    #[test]
    fn any_pieces_of_a_body_make_the_body(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8)) {
        let mut body = Vec::new();
        for piece in &pieces {
            body.extend(format!("{:X}\r\n", piece.len()).into_bytes());
            body.extend(piece);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        prop_assert_eq!(decoded(unsigned(), &body), Ok(pieces.concat()));
    }

    #[test]
    fn any_bytes_are_taken_or_refused_without_a_panic(
        body in "([0-3a-f]{0,2}|;chunk-signature=|\r\n|:|0|[^a]){0,20}", is_signed: bool
    ) {
        let _ = decoded(if is_signed { signed_with_trailer() } else { unsigned() }, body.as_bytes());
    }
}
