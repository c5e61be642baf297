//! The head of a request, as hyper hands it on.

use http::request::Parts;
use http::uri::Scheme;
use http::{Version, header};

use super::wire::Flaw;

/// Refuses what another server could read otherwise.
///
/// # Errors
/// What is wrong, for people.
pub fn check(head: &Parts) -> Result<(), &'static str> {
    if let Some(flaw) = head.extensions.get::<Flaw>() {
        return Err(flaw.detail());
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next(), head.version) {
        (_, Some(_), _) => return Err("a request has one Host"),
        (None, _, Version::HTTP_11) => return Err("a request over HTTP/1.1 has a Host"),
        (host, ..) => host.map(|host| host.as_bytes()),
    };
    if !host.is_none_or(|host| host.iter().copied().all(is_of_authority)) {
        return Err("Host is a name or an address, and perhaps a port");
    }
    if let Some(authority) = head.uri.authority() {
        let authority = authority.as_str().as_bytes();
        if !authority.iter().copied().all(is_of_authority) {
            return Err("the authority of a target is a name or an address, and perhaps a port");
        }
        if !host.is_none_or(|host| host.eq_ignore_ascii_case(authority)) {
            return Err("the authority of the target is another one than Host");
        }
    }
    if !head.uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err("the scheme of a target is http or https");
    }
    // Over HTTP/1.1 the one that hyper goes by is all that is left.
    if head.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Flaw::TwoLengths.detail());
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("Transfer-Encoding is chunked, once, and nothing else"),
    }
}

/// What hosts and ports are made of (RFC 3986, 3.2.2 and 3.2.3); no `@`, which would put a user in front.
fn is_of_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// Whether a path may stand for something: segments of the characters of names, none of them empty, `.` or `..`. What is
/// escaped, doubled or climbs names nothing, so that nobody has to decide what it would stand for.
pub fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    rest.split('/').all(|segment| {
        let of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        !matches!(segment, "" | "." | "..") && segment.bytes().all(of_names)
    })
}

#[cfg(test)]
mod tests {
    use http::{Request, Uri};
    use proptest::prelude::*;

    use super::*;

    fn checked(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut request = Request::get(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn who_is_asked_is_said_once_and_the_same() {
        let one = |target: &str, host: &str| checked(Version::HTTP_11, target, &[("host", host)]);
        for host in ["a", "a.example:8080", "[::1]:80", "", "127.0.0.1"] {
            assert_eq!(one("/", host), Ok(()), "{host}");
        }
        for host in ["a b", "user@a", "a/b", "a\\b", "a#b", "a?b", "a, b", "\u{e9}"] {
            assert!(one("/", host).is_err(), "{host}");
        }
        assert!(checked(Version::HTTP_11, "/", &[]).is_err());
        assert_eq!(checked(Version::HTTP_10, "/", &[]), Ok(()));
        assert!(checked(Version::HTTP_10, "/", &[("host", "a"), ("host", "a")]).is_err());
        assert_eq!(one("http://A/x", "a"), Ok(()));
        for target in ["http://b/x", "http://u:p@a/x", "ftp://a/x", "http://a:80/x"] {
            assert!(one(target, "a").is_err(), "{target}");
        }
        assert_eq!(checked(Version::HTTP_2, "https://a/x", &[]), Ok(()));
        assert!(checked(Version::HTTP_2, "https://a/x", &[("host", "b")]).is_err());
        assert!(checked(Version::HTTP_2, "https://u@a/x", &[]).is_err());
    }

    #[test]
    fn a_message_is_coded_as_chunks_or_not_at_all() {
        let coded = |codings: &[&str]| {
            let headers = codings.iter().map(|coding| ("transfer-encoding", *coding));
            checked(Version::HTTP_11, "/", &[("host", "a")].into_iter().chain(headers).collect::<Vec<_>>())
        };
        assert_eq!(coded(&[]), Ok(()));
        assert_eq!(coded(&["Chunked"]), Ok(()));
        for codings in
            [&["gzip, chunked"][..], &["chunked", "chunked"], &["identity", "chunked"], &["identity"]]
        {
            assert!(coded(codings).is_err(), "{codings:?}");
        }
    }

    proptest! {
        /// Whoever takes it apart, decodes it or joins it to a folder gets the same segments.
        #[test]
        fn a_plain_path_is_the_same_to_everybody(
            path in "(/|//|\\.|\\.\\.|%2e|%2f|%00|\\\\|[a-zA-Z0-9_.-]{1,5}|[\u{80}-\u{ff}]|[;?&=+ ~]){0,12}"
        ) {
            if is_plain(&path) {
                let url = url::Url::parse("http://a").unwrap().join(&path).unwrap();
                prop_assert_eq!(url.path(), path.as_str());
                let target: Uri = path.parse().unwrap();
                prop_assert_eq!(target.path(), path.as_str());
                let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap();
                prop_assert_eq!(decoded.as_ref(), path.as_str());
            }
        }

        #[test]
        fn segments_of_names_are_plain(path in "(/[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,8}){1,5}") {
            prop_assert!(is_plain(&path));
        }
    }
}
