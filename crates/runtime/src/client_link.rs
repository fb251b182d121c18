//! A client's way to one replica: connects when there is something to ask, and says precisely what
//! became of each request, because "it did not leave" and "it may have left" are different
//! outcomes.

use crate::codec;
use crate::frame::{FrameError, FrameReader};
use crate::report::MembersReport;
use crate::wire::{DialError, Hello, ToClient, connect, dial};
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{NodeId, QueryReply, Reply};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::time::{sleep, timeout};

/// The longest frame that a client takes, and makes.
pub(crate) const MAX_FRAME: usize = 32 * 1024 * 1024;
/// How long a connection may take to come about.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);
/// Between attempts to connect where the client must hear from all replicas.
const PAUSE: Duration = Duration::from_millis(100);

async fn open(
    address: SocketAddr,
    hello: &Hello,
) -> Result<(FrameReader<OwnedReadHalf>, OwnedWriteHalf), DialError> {
    let stream = connect(address, CONNECT).await.map_err(FrameError::from)?;
    introduce(stream, hello).await
}

/// Says hello on a fresh connection, and waits to be let in.
pub(crate) async fn introduce(
    stream: TcpStream,
    hello: &Hello,
) -> Result<(FrameReader<OwnedReadHalf>, OwnedWriteHalf), DialError> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(reader);
    dial(&mut reader, &mut writer, hello).await?;
    Ok((reader, writer))
}

/// Which requests have left, and which never will: between a client and its links. A request waits
/// for its link to connect, and the client may have given it up by then. What is called back before
/// it left stays here, so that "surely nothing happened" goes on being true.
#[derive(Debug, Default)]
pub(crate) struct Departures(Mutex<Bounds>);

#[derive(Debug, Default)]
struct Bounds {
    /// The last that left.
    left: u64,
    /// All up to this one stay, if they have not left.
    called_back: u64,
}

impl Departures {
    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May this request leave? If so, from now on it has.
    pub(crate) fn leave(&self, serial: u64) -> bool {
        let mut bounds = self.bounds();
        let may = serial > bounds.called_back || planted("N43");
        if may {
            bounds.left = bounds.left.max(serial);
        }
        may
    }

    /// Calls back the requests from `first` to `last`. False if one of them has left.
    pub(crate) fn call_back(&self, first: u64, last: u64) -> bool {
        let mut bounds = self.bounds();
        let none_left = bounds.left < first;
        if none_left {
            bounds.called_back = bounds.called_back.max(last);
        }
        none_left
    }
}

/// One request to one replica.
pub(crate) struct Order {
    pub(crate) serial: u64,
    pub(crate) frame: Bytes,
}

/// What a link has to tell.
pub(crate) enum LinkEvent {
    /// The replica let the client in.
    Up(NodeId),
    /// A replica answered a command.
    Reply(Reply),
    /// A replica answered a question.
    Answer(QueryReply),
    /// A replica was asked for the members.
    Members(Option<MembersReport>),
    /// There is no connection (any more).
    Down {
        node: NodeId,
        why: String,
        /// The request that surely did not leave.
        unsent: Option<u64>,
        /// The last request that may have left.
        broken: Option<u64>,
    },
}

/// The way to one replica.
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) hello: Hello,
    /// Connected even when there is nothing to ask, because answers may come.
    pub(crate) stays: bool,
    pub(crate) departures: Arc<Departures>,
    pub(crate) events: Sender<LinkEvent>,
}

impl Link {
    /// Runs until the client is dropped.
    pub(crate) async fn run(self, mut orders: UnboundedReceiver<Order>) {
        let mut first = None;
        loop {
            if !self.stays && first.is_none() {
                first = orders.recv().await;
                if first.is_none() {
                    return;
                }
            }
            let opened = match timeout(CONNECT, open(self.address, &self.hello)).await {
                Ok(opened) => opened.map_err(|error| error.to_string()),
                Err(_) => Err(format!("{} does not answer", self.address)),
            };
            match opened {
                Ok((reader, writer)) => {
                    self.tell(LinkEvent::Up(self.node)).await;
                    let (why, broken) = self.talk(reader, writer, first.take(), &mut orders).await;
                    self.down(why, None, broken).await;
                }
                Err(why) => {
                    // What came meanwhile is told one by one, before the next attempt.
                    self.down(why.clone(), first.take().map(|order| order.serial), None).await;
                    while let Ok(order) = orders.try_recv() {
                        self.down(why.clone(), Some(order.serial), None).await;
                    }
                }
            }
            if self.stays {
                tokio::select! {
                    order = orders.recv() => match order {
                        Some(order) => first = Some(order),
                        None => return,
                    },
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }

    async fn tell(&self, event: LinkEvent) {
        // When the client is gone, so is this task, soon.
        let _ = self.events.send(event).await;
    }

    async fn down(&self, why: String, unsent: Option<u64>, broken: Option<u64>) {
        self.tell(LinkEvent::Down { node: self.node, why, unsent, broken }).await;
    }

    /// Writes requests and reads answers until the connection breaks; says why it did, and which
    /// request was the last that may have left.
    async fn talk(
        &self,
        mut reader: FrameReader<OwnedReadHalf>,
        mut writer: OwnedWriteHalf,
        mut next: Option<Order>,
        orders: &mut UnboundedReceiver<Order>,
    ) -> (String, Option<u64>) {
        let mut last = None;
        loop {
            if let Some(order) = next.take().filter(|order| self.departures.leave(order.serial)) {
                last = Some(order.serial);
                if let Err(error) = self.write(&mut writer, &order.frame).await {
                    return (error.to_string(), last);
                }
            }
            let reply = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => {
                        next = Some(order);
                        continue;
                    }
                    None => return ("the client is gone".into(), last),
                },
                frame = reader.next(MAX_FRAME) => frame,
            };
            let decoded = match reply {
                Ok(Some(frame)) => codec::decode(&frame).map_err(|error| error.to_string()),
                Ok(None) => Err("the replica closed the connection".into()),
                Err(error) => Err(error.to_string()),
            };
            match decoded {
                Ok(ToClient::Reply(reply)) => {
                    self.tell(LinkEvent::Reply(reply)).await;
                }
                Ok(ToClient::QueryReply(reply)) => {
                    self.tell(LinkEvent::Answer(reply)).await;
                }
                Ok(ToClient::Status(_) | ToClient::Wish(_)) => {}
                Err(why) => return (why, last),
            }
        }
    }

    async fn write(&self, writer: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
        timeout(CONNECT, writer.write_all(frame)).await?
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::frame::{self, PREAMBLE, payload_len};
    use crate::wire::{Greeting, MAX_HELLO};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::{channel, unbounded_channel};

    /// Lets a client in, and gives the first frame that it sends.
    async fn first_frame(listener: TcpListener) -> Bytes {
        let (stream, _) = listener.accept().await.expect("a client");
        let (reader, mut writer) = stream.into_split();
        let mut reader = FrameReader::new(reader);
        reader.preamble().await.expect("a preamble");
        reader.next(MAX_HELLO).await.expect("a hello");
        let welcome = [&PREAMBLE[..], &frame::encode(&Greeting::Welcome(NodeId(0)))].concat();
        writer.write_all(&welcome).await.expect("it listens");
        reader.next(MAX_FRAME).await.expect("a frame").expect("a frame")
    }

    /// A replica that was away comes back when the client has told its caller that surely nothing
    /// happened. What waited for the connection must not leave over it.
    #[test]
    pub(crate) fn what_was_called_back_never_leaves() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            let (address, hello) = (listener.local_addr().expect("bound"), Hello::Status);
            let departures = Arc::new(Departures::default());
            let (events, _news) = channel(9);
            let (node, stays) = (NodeId(0), false);
            let link =
                Link { node, address, hello, stays, departures: Arc::clone(&departures), events };
            let (orders, inbox) = unbounded_channel();
            let frames: Vec<Bytes> = (0..3u64).map(|serial| frame::encode(&serial)).collect();
            for (serial, frame) in (0..).zip(&frames).skip(1) {
                orders.send(Order { serial, frame: frame.clone() }).expect("the link is there");
            }
            assert!(departures.call_back(1, 1), "nothing has left");
            let link = tokio::spawn(link.run(inbox));
            let came = first_frame(listener).await;
            let sent = &frames[2];
            assert_eq!(came, sent.slice(sent.len() - payload_len(sent)..));
            assert!(!departures.call_back(2, 2), "it has left");
            link.abort();
        });
    }
}
