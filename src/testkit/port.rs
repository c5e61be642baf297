//! A port that stays ours while nobody listens on it, so that what listened there can come back at the same address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// A TCP port of the loopback address. No other process is given it while this lives, and connections to it are refused
/// until somebody listens.
///
/// On Linux, sockets that set `SO_REUSEADDR` may share a port as long as at most one of them listens; a server that sets
/// it (as the standard library and tokio do) can bind the port beside this placeholder.
#[derive(Debug)]
pub struct Port {
    _placeholder: Socket,
    number: u16,
}

impl Port {
    /// Takes one that is free.
    pub fn take() -> io::Result<Self> {
        let placeholder = socket((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = placeholder.local_addr()?.as_socket();
        let number = address.ok_or_else(|| io::Error::other("the socket has no port"))?.port();
        Ok(Self { _placeholder: placeholder, number })
    }

    /// `127.0.0.1` and the port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Listens on it. Only one listener at a time is possible.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let listener = socket(self.address())?;
        listener.listen(BACKLOG)?;
        Ok(listener.into())
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_port_refuses_until_somebody_listens_and_again_when_nobody_does() {
        let port = Port::take().unwrap();
        for _ in 0..2 {
            assert_eq!(TcpStream::connect(port.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let listener = port.listen().unwrap();
            TcpStream::connect(port.address()).unwrap();
            let (taken, _) = listener.accept().unwrap();
            assert_eq!(taken.local_addr().unwrap(), port.address());
        }
    }

    #[test]
    fn two_never_listen_on_one_port() {
        let port = Port::take().unwrap();
        let _first = port.listen().unwrap();
        assert_eq!(port.listen().unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
