//! The PROXY protocol, version 2: what a load balancer in front tells of the client, in a binary header before the first
//! byte of the connection.
//!
//! Source of the format: "The PROXY protocol, Versions 1 & 2" of the HAProxy project, section 2.2.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::v2::{Addresses, Command, Header};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::limits::PROXY_HEADER_BYTES_MAX;

/// Signature, version and command, family and protocol, length: what every header begins with.
const FIXED_BYTES: usize = 16;
/// Where the length of the rest stands, most significant byte first.
const LENGTH_AT: usize = 14;

/// Why a connection of a proxy is not served.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The connection has broken, or ended within the header.
    #[error("the connection ended within the PROXY header: {0}")]
    Io(#[from] io::Error),
    /// It begins with something else.
    #[error("there is no PROXY header of version 2: {0}")]
    Header(#[from] ppp::v2::ParseError),
    /// More than any proxy has to tell.
    #[error("a PROXY header of {0} bytes, at most {PROXY_HEADER_BYTES_MAX} are taken")]
    TooLong(usize),
}

/// Reads the header, and not a byte beyond it. `None` where the proxy speaks for itself, or of something that has no
/// address of the internet: then the address of the connection counts.
pub async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyError> {
    let mut bytes = vec![0; FIXED_BYTES];
    socket.read_exact(&mut bytes).await?;
    let rest = usize::from(u16::from_be_bytes([bytes[LENGTH_AT], bytes[LENGTH_AT + 1]]));
    if bytes.len() + rest > PROXY_HEADER_BYTES_MAX {
        // Whatever this is: its beginning tells more than its length.
        Header::try_from(&bytes[..]).map(drop).or_else(|error| match error {
            ppp::v2::ParseError::Partial(..) => Ok(()),
            other => Err(other),
        })?;
        return Err(ProxyError::TooLong(bytes.len() + rest));
    }
    bytes.resize(FIXED_BYTES + rest, 0);
    // Of something that is no header this may be bytes of a request. The connection is closed then.
    Header::try_from(&bytes[..FIXED_BYTES]).map(drop).or_else(|error| match error {
        ppp::v2::ParseError::Partial(..) => Ok(()),
        other => Err(other),
    })?;
    socket.read_exact(&mut bytes[FIXED_BYTES..]).await?;
    let header = Header::try_from(&bytes[..])?;
    Ok(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(told)) => {
            Some(SocketAddr::new(IpAddr::V4(told.source_address), told.source_port))
        }
        (Command::Proxy, Addresses::IPv6(told)) => {
            Some(SocketAddr::new(IpAddr::V6(told.source_address), told.source_port))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
    }

    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyError>, usize) {
        let mut rest = bytes;
        let told = read(&mut rest).await;
        (told, rest.len())
    }

    #[tokio::test]
    async fn the_address_of_a_client_is_read_and_nothing_behind_it() {
        let ipv4 = header(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x50, 0x01, 0xbb]);
        let (told, left) = read_all(&[&ipv4[..], b"GET / HTTP/1.1"].concat()).await;
        assert_eq!((told.unwrap(), left), (Some("192.0.2.7:50000".parse().unwrap()), 14));
        let mut addresses = vec![0; 36];
        addresses[15] = 1;
        addresses[32..34].copy_from_slice(&443u16.to_be_bytes());
        // With a type-length-value behind the addresses that nobody here needs.
        addresses.extend([0x04, 0, 1, 0]);
        let (told, left) = read_all(&header(1, 0x21, &addresses)).await;
        assert_eq!((told.unwrap(), left), (Some("[::1]:443".parse().unwrap()), 0));
    }

    #[tokio::test]
    async fn a_proxy_that_speaks_for_itself_tells_no_address() {
        let (told, left) = read_all(&header(0, 0, &[])).await;
        assert_eq!((told.unwrap(), left), (None, 0));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            &b"GET /v1/streams HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n",
            b"",
            SIGNATURE,
            &header(1, 0x11, &[1, 2, 3]),
            &header(5, 0x11, &[0; 12]),
        ] {
            assert!(read_all(bytes).await.0.is_err(), "{bytes:?}");
        }
        let long = header(1, 0x11, &vec![0; PROXY_HEADER_BYTES_MAX]);
        assert!(matches!(read_all(&long).await.0, Err(ProxyError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(rest in prop::collection::vec(any::<u8>(), 0..64), command in 0..3u8, family: u8) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read_all(&rest));
            let bytes = header(command, family, &rest);
            let (told, left) = runtime.block_on(read_all(&bytes));
            prop_assert!(told.is_err() || left == 0);
        }
    }
}
