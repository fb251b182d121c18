//! What is said on a connection before, and beside, the messages of the algorithm.

use crate::codec;
use crate::frame::{self, FrameError, FrameReader, PREAMBLE};
use crate::identity::DiskId;
use crate::report::StatusReport;
use crate::wish::{Denied, Granted, Wish};
use consensus_core::mutant::planted;
use consensus_core::{ClientId, ClusterId, Incarnation, NodeId, Query, QueryReply, Reply, Request};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest hello or greeting, in bytes.
pub(crate) const MAX_HELLO: usize = 4096;

/// The first frame of a connection: who dials, and whom it wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hello {
    /// A replica; its messages follow.
    Peer {
        cluster: ClusterId,
        algorithm: String,
        from: NodeId,
        to: NodeId,
        incarnation: Incarnation,
        disk: DiskId,
        /// Where it listens itself, if it knows.
        contact: Option<SocketAddr>,
    },
    /// A client; its requests and questions follow, and answers come back.
    Client { cluster: ClusterId, algorithm: String, client: ClientId },
    /// An operator with one wish; one answer comes back.
    Operator { cluster: ClusterId, algorithm: String, wish: Wish },
    /// Somebody who wants one [`StatusReport`].
    Status,
}

/// The answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Greeting {
    /// Come in.
    Welcome(NodeId),
    /// Stay out, for this reason.
    Refused(String),
}

/// What a client says to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToReplica {
    /// A command.
    Request(Request),
    /// A question.
    Query(Query),
}

/// What a replica says to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToClient {
    /// An answer to a command.
    Reply(Reply),
    /// An answer to a question.
    QueryReply(QueryReply),
    /// An answer to an operator.
    Wish(Result<Granted, Denied>),
    /// What was asked with [`Hello::Status`].
    Status(Box<StatusReport>),
}

/// Why a connection did not come about.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The connection broke, or nonsense came.
    Frame(FrameError),
    /// The replica said no.
    Refused(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "{error}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl<E: Into<FrameError>> From<E> for DialError {
    fn from(error: E) -> Self {
        Self::Frame(error.into())
    }
}

/// Connects. If nothing of what was written gets there for so long, the connection is to end: one
/// whose other side has lost its power takes in what it is given for many minutes, and the other
/// side, when it is back, hears nothing until this one tries again.
pub(crate) async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if !planted("N55") {
        bound(&stream, patience)?;
    }
    Ok(stream)
}

#[cfg(target_os = "linux")]
fn bound(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(patience))
}

/// Elsewhere the system decides how long it tries.
#[cfg(not(target_os = "linux"))]
fn bound(_: &TcpStream, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Says hello on a fresh connection, and waits to be let in.
pub(crate) async fn dial<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut W,
    hello: &Hello,
) -> Result<NodeId, DialError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let opening = [&PREAMBLE[..], &frame::encode(hello)].concat();
    writer.write_all(&opening).await.map_err(FrameError::from)?;
    reader.preamble().await?;
    let greeting = reader.next(MAX_HELLO).await?.ok_or(FrameError::Cut)?;
    match codec::decode(&greeting) {
        Ok(Greeting::Welcome(node)) => Ok(node),
        Ok(Greeting::Refused(why)) => Err(DialError::Refused(why)),
        Err(_) => Err(FrameError::Checksum.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Without a machine that loses its power there is only this to see: the system was asked.
    #[cfg(target_os = "linux")]
    #[test]
    pub(crate) fn a_connection_to_nobody_is_bound_to_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
            let address = listener.local_addr().expect("it is bound");
            for patience in [1, 5].map(Duration::from_secs) {
                let stream = connect(address, patience).await.expect("somebody listens");
                let asked = socket2::SockRef::from(&stream).tcp_user_timeout();
                assert_eq!(asked.expect("it can be asked"), Some(patience));
            }
        });
    }
}
