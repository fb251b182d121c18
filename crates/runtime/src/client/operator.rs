//! Single questions to a node, each on a connection of its own.

use super::ClientError;
use crate::client_link::{MAX_FRAME, open};
use crate::codec;
use crate::frame::FrameError;
use crate::report::StatusReport;
use crate::wire::{DialError, Hello, ToClient};
use crate::wish::{Denied, Granted, Wish};
use consensus_core::ClusterId;
use core::time::Duration;
use std::net::SocketAddr;
use tokio::time::timeout;

/// What the node at this address says about itself. Anybody may ask, and nothing is changed.
///
/// # Errors
/// If nobody answers there, within this time, in this protocol.
pub async fn status(address: SocketAddr, wait: Duration) -> Result<StatusReport, ClientError> {
    match ask(address, Hello::Status, wait).await? {
        ToClient::Status(report) => Ok(*report),
        _ => Err(ClientError::Protocol("an answer to something else".into())),
    }
}

/// Has the node at this address fulfil a wish, and waits for what becomes of it. There is no proof
/// of who asks yet: keep operators' networks apart.
///
/// # Errors
/// If nobody answers there, within this time, in this protocol. The wish may then come true all the
/// same.
pub async fn operate(
    address: SocketAddr,
    cluster: ClusterId,
    algorithm: &str,
    wish: Wish,
    wait: Duration,
) -> Result<Result<Granted, Denied>, ClientError> {
    let hello = Hello::Operator { cluster, algorithm: algorithm.to_string(), wish };
    match ask(address, hello, wait).await? {
        ToClient::Wish(answer) => Ok(answer),
        _ => Err(ClientError::Protocol("an answer to something else".into())),
    }
}

async fn ask(address: SocketAddr, hello: Hello, wait: Duration) -> Result<ToClient, ClientError> {
    let ask = async {
        let (mut reader, _writer) = open(address, &hello).await?;
        let frame = reader.next(MAX_FRAME).await?.ok_or(FrameError::Cut)?;
        Ok::<_, DialError>(frame)
    };
    let unreachable = |why: String| ClientError::Unreachable(format!("{address}: {why}"));
    let frame = match timeout(wait, ask).await {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable(format!("no answer within {wait:?}"))),
    };
    codec::decode(&frame).map_err(|error| ClientError::Protocol(error.to_string()))
}
