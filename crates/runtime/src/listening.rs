//! The port on which a node listens.

use consensus_core::mutant::planted;
use core::net::SocketAddr;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use tokio::net::{TcpListener, TcpStream};

/// A port that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Listening(TcpListener);

impl Listening {
    pub(crate) async fn on(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// Where it listens: the port that was drawn, if any would do.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(crate) async fn accept(&self) -> io::Result<TcpStream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }
}

/// To close the socket is not enough: a process that is just being started has it open, too, until
/// its program is loaded, and until then it would go on listening.
impl Drop for Listening {
    fn drop(&mut self) {
        if planted("N60") {
            return;
        }
        if let Err(error) = SockRef::from(&self.0).shutdown(Shutdown::Both) {
            tracing::debug!(%error, "a port is closed only with its last user");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Replicas are stopped and started within one process, which may start others meanwhile.
    #[tokio::test]
    pub(crate) async fn a_port_is_free_though_a_child_has_its_socket_open() {
        let taken = Listening::on((Ipv4Addr::LOCALHOST, 0).into()).await.expect("some port");
        let address = taken.address().expect("it listens");
        assert!(Listening::on(address).await.is_err(), "it is taken");
        let _inherited = SockRef::from(&taken.0).try_clone().expect("as a child has it");
        drop(taken);
        Listening::on(address).await.expect("it was let go of");
    }
}
