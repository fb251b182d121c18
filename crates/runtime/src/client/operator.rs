//! Single questions to a node, each on a connection of its own.

use super::ClientError;
use crate::client_link::{CONNECT, MAX_FRAME, introduce};
use crate::codec;
use crate::frame::FrameError;
use crate::report::StatusReport;
use crate::wire::{DialError, Hello, ToClient, connect};
use crate::wish::{Denied, Granted, Wish};
use consensus_core::ClusterId;
use consensus_core::mutant::planted;
use core::time::Duration;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

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
/// If nobody answers there, within this time, in this protocol. After [`ClientError::NoAnswer`] the
/// wish may come true all the same; otherwise it was not heard.
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
    let deadline = Instant::now() + wait;
    let late = || format!("{address}: no answer within {wait:?}");
    let stream = match timeout_at(deadline, connect(address, CONNECT)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ClientError::Unreachable(format!("{address}: {error}"))),
        Err(_) => return Err(ClientError::Unreachable(late())),
    };
    // From here on it may be heard, whatever becomes of the answer.
    match timeout_at(deadline, hear(stream, &hello)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(DialError::Refused(why))) if !planted("N57") => {
            Err(ClientError::Refused(format!("{address}: {why}")))
        }
        Ok(Err(error)) => Err(ClientError::NoAnswer(format!("{address}: {error}"))),
        Err(_) => Err(ClientError::NoAnswer(late())),
    }
}

async fn hear(
    stream: TcpStream,
    hello: &Hello,
) -> Result<Result<ToClient, ClientError>, DialError> {
    let (mut reader, _writer) = introduce(stream, hello).await?;
    let frame = reader.next(MAX_FRAME).await?.ok_or(FrameError::Cut)?;
    Ok(codec::decode(&frame).map_err(|error| ClientError::Protocol(error.to_string())))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::frame::{self, PREAMBLE};
    use crate::wire::Greeting;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// What becomes of a wish at somebody who listens, says this, and hangs up.
    fn wish_at(said: Option<Greeting>) -> ClientError {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let listener = said.is_some().then_some(listener);
        let listens = std::thread::spawn(move || {
            let (Some(listener), Some(said)) = (listener, said) else { return };
            let (mut stream, _) = listener.accept().expect("somebody calls");
            // The beginning of a hello: what is sent before it might get lost with the connection.
            stream.read_exact(&mut [0; PREAMBLE.len()]).expect("it says who it is");
            let bytes = [&PREAMBLE[..], &frame::encode(&said)].concat();
            stream.write_all(&bytes).expect("it listens");
            stream.shutdown(std::net::Shutdown::Write).expect("it is open");
            drop(stream.read_to_end(&mut Vec::new()));
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (wish, long) = (Wish::Snapshot, Duration::from_secs(60));
        let asked = operate(address, ClusterId(1), "toy", wish, long);
        let outcome = runtime.expect("a runtime").block_on(asked);
        listens.join().expect("it said so");
        outcome.expect_err("nobody fulfils it")
    }

    /// Whoever is told that a wish "may yet come true" looks for it, and waits: so nobody is told
    /// so whose wish was surely not heard.
    #[test]
    pub(crate) fn a_wish_that_nobody_heard_is_told_from_one_without_an_answer() {
        let nobody = wish_at(None);
        assert!(matches!(nobody, ClientError::Unreachable(_)), "{nobody:?}");
        let other = wish_at(Some(Greeting::Refused("this is cluster 2".into())));
        let ClientError::Refused(why) = other else { panic!("{other:?}") };
        assert!(why.ends_with("this is cluster 2"), "{why}");
        let silent = wish_at(Some(Greeting::Welcome(consensus_core::NodeId(0))));
        assert!(matches!(silent, ClientError::NoAnswer(_)), "{silent:?}");
    }
}
