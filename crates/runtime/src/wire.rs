//! What is said on a connection before, and beside, the messages of the algorithm.

use crate::codec;
use crate::frame::{self, FrameError, FrameReader, PREAMBLE};
use crate::identity::DiskId;
use crate::report::StatusReport;
use crate::wish::{Denied, Granted, Wish};
use consensus_core::{ClientId, ClusterId, Incarnation, NodeId, Query, QueryReply, Reply, Request};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

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
