//! The listening side: lets connections in, turns their frames into inputs of the node, and brings
//! answers back to clients. Nothing that comes over a connection panics; it is dropped, or closes
//! the connection.

use crate::codec;
use crate::config::Limits;
use crate::driver::query_reply;
use crate::frame::{self, FrameReader, PREAMBLE};
use crate::inbound::{Inbound, TurnedAway};
use crate::listening::Listening;
use crate::node::{FromClient, FromPeer};
use crate::peer_disks::PeerDisks;
use crate::queue::FrameQueue;
use crate::room::{Room, Taken};
use crate::shared::Shared;
use crate::waiting::{Connection, refusal};
use crate::wire::{Greeting, Hello, MAX_HELLO, ToClient, ToReplica};
use crate::wish::{self, Denied, Wish};
use crate::write::write_queue;
use consensus_core::mutant::planted;
use consensus_core::{
    ClientId, ConsensusProtocol, Env, Envelope, Incarnation, MEMBERSHIP_CLIENT, NodeId, Query,
    Refusal, Request,
};
use core::time::Duration;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// What a question takes beside its own bytes, as a command does.
const QUERY_OVERHEAD: usize = 64;
/// How long connections may take to send what waits when the node has stopped.
const PARTING: Duration = Duration::from_secs(1);

/// The listening side of one node.
pub(crate) struct Server<P: ConsensusProtocol> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peers: mpsc::Sender<FromPeer<P::Message>>,
    pub(crate) clients: mpsc::Sender<FromClient>,
    pub(crate) wishes: mpsc::Sender<wish::Asked>,
    disks: Arc<PeerDisks>,
    strangers: Arc<Semaphore>,
    inbound: Inbound,
    turned_away: TurnedAway,
    connections: AtomicU64,
}

impl<P: ConsensusProtocol> Server<P> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        peers: mpsc::Sender<FromPeer<P::Message>>,
        clients: mpsc::Sender<FromClient>,
        wishes: mpsc::Sender<wish::Asked>,
        disks: PeerDisks,
    ) -> Self {
        let strangers = Arc::new(Semaphore::new(shared.limits.max_strangers));
        let inbound = Inbound::new(shared.limits.inbox_bytes);
        let (turned_away, connections) = (TurnedAway::default(), AtomicU64::new(0));
        let disks = Arc::new(disks);
        Self { shared, peers, clients, wishes, disks, strangers, inbound, turned_away, connections }
    }

    /// Accepts connections until told to stop, and then waits a moment for them to end.
    pub(crate) async fn run(self, listening: Listening, mut stop: watch::Receiver<bool>) {
        let server = Arc::new(self);
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listening.accept() => match accepted {
                    Ok(stream) => server.admit(stream, &mut tasks),
                    Err(error) => {
                        // Out of file descriptors, most likely; some will be free soon.
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
                () = stopped(&mut stop) => break,
            }
        }
        drop(listening);
        let parting = async { while tasks.join_next().await.is_some() {} };
        if timeout(PARTING, parting).await.is_err() {
            tasks.shutdown().await;
        }
    }

    /// Gives a connection a task of its own, if there is room for one more stranger.
    fn admit(self: &Arc<Self>, stream: TcpStream, tasks: &mut JoinSet<()>) {
        let Ok(room) = Arc::clone(&self.strangers).try_acquire_owned() else {
            tracing::debug!("too many connections have not said who they are: refused one");
            return;
        };
        let server = Arc::clone(self);
        // The task must know its own handle, so that a newer connection can end it.
        let (tell, told) = tokio::sync::oneshot::channel();
        let handle = tasks.spawn(async move {
            let Ok(own) = told.await else { return };
            if let Err(error) = server.serve(stream, room, own).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        let _ = tell.send(handle);
    }

    async fn serve(
        &self,
        stream: TcpStream,
        room: OwnedSemaphorePermit,
        own: AbortHandle,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut reader = FrameReader::new(reader);
        let hello = async {
            reader.preamble().await.map_err(io::Error::other)?;
            let frame = reader.next(MAX_HELLO).await.map_err(io::Error::other)?;
            let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
            codec::decode::<Hello>(&frame).map_err(io::Error::other)
        };
        let hello = timeout(self.shared.limits.handshake, hello).await??;
        drop(room);
        let mut line = Line { reader, writer };
        if let Err(why) = self.shared.check(&hello) {
            tracing::debug!(why, "refused a connection");
            return line.greet(&Greeting::Refused(why)).await;
        }
        match hello {
            Hello::Status => {
                line.greet(&Greeting::Welcome(self.shared.id)).await?;
                let report = ToClient::Status(Box::new(self.shared.report()));
                line.write(&frame::encode(&report)).await
            }
            Hello::Client { client, .. } => self.serve_client(line, client).await,
            Hello::Operator { wish, .. } => self.serve_operator(line, wish).await,
            Hello::Peer { from, incarnation, disk, contact, .. } => {
                let disks = Arc::clone(&self.disks);
                let known = tokio::task::spawn_blocking(move || disks.meet(from, disk)).await;
                if let Err(why) = known.map_err(io::Error::other)? {
                    return line.greet(&self.turn_away(from, why)).await;
                }
                self.shared.heard_of(from, contact);
                self.serve_peer(line, from, incarnation, own).await
            }
        }
    }

    /// Hands one wish to the node, and its answer back.
    async fn serve_operator(&self, mut line: Line, wish: Wish) -> io::Result<()> {
        line.greet(&Greeting::Welcome(self.shared.id)).await?;
        let (asker, answer) = tokio::sync::oneshot::channel();
        let asked = wish::Asked { wish, asker };
        let answer = match self.wishes.send(asked).await {
            // Without an answer the node has stopped.
            Ok(()) => answer.await.unwrap_or(Err(Denied::Lost)),
            Err(_) => Err(Denied::Refused("the replica has stopped".into())),
        };
        line.write(&frame::encode(&ToClient::Wish(answer))).await
    }

    async fn serve_peer(
        &self,
        mut line: Line,
        from: NodeId,
        incarnation: Incarnation,
        own: AbortHandle,
    ) -> io::Result<()> {
        let turn = match self.inbound.take_over(from, incarnation, own).await {
            Ok(turn) => turn,
            Err(why) => return line.greet(&self.turn_away(from, why)).await,
        };
        self.turned_away.forget(from);
        line.greet(&Greeting::Welcome(self.shared.id)).await?;
        tokio::select! {
            done = self.read_messages(&mut line.reader, from, &turn.room) => done,
            () = self.peers.closed() => Ok(()), // The node has stopped.
        }
    }

    fn turn_away(&self, from: NodeId, why: String) -> Greeting {
        if self.turned_away.is_news(from, &why) {
            tracing::warn!(%from, why, "refused a peer");
        } else {
            tracing::debug!(%from, why, "refused a peer again");
        }
        Greeting::Refused(why)
    }

    async fn read_messages(
        &self,
        reader: &mut FrameReader<OwnedReadHalf>,
        from: NodeId,
        inbox: &Room,
    ) -> io::Result<()> {
        let shared = &self.shared;
        let limit = shared.limits.max_frame;
        while let Some(frame) = reader.next(limit).await.map_err(io::Error::other)? {
            let room = inbox.take(frame.len()).await.map_err(io::Error::other)?;
            let message = codec::decode::<P::Message>(&frame).map_err(io::Error::other)?;
            let env = Env::new(shared.now(), &shared.cluster, &*shared.keys, &shared.meter);
            match P::verify(Envelope { from, message }, &env) {
                Ok(message) => {
                    let from_peer = FromPeer { message, room };
                    self.peers.send(from_peer).await.map_err(io::Error::other)?;
                }
                Err(why) => {
                    shared.rejected.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%from, %why, "rejected a message");
                }
            }
        }
        Ok(())
    }

    async fn serve_client(&self, mut line: Line, client: ClientId) -> io::Result<()> {
        let limits = self.shared.limits;
        let _counted = Counted::new(&self.shared.clients);
        if client == MEMBERSHIP_CLIENT {
            let why = format!("no client may call itself {}: that is how members change", client.0);
            return line.greet(&Greeting::Refused(why)).await;
        }
        if self.shared.clients.load(Ordering::Relaxed) > limits.max_clients {
            let why = format!("{} clients are connected already", limits.max_clients);
            return line.greet(&Greeting::Refused(why)).await;
        }
        let connection = Arc::new(Connection {
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            client,
            replies: FrameQueue::new(limits.client_queue_bytes),
        });
        // Registered before it is greeted: a client that was greeted hears every answer.
        if self.clients.send(FromClient::Connected(Arc::clone(&connection))).await.is_err() {
            return line.greet(&Greeting::Refused("the replica has stopped".into())).await;
        }
        let Line { reader, mut writer } = line;
        let patience = limits.write_timeout;
        let talk = async {
            let greeting = [&PREAMBLE[..], &frame::encode(&Greeting::Welcome(self.shared.id))];
            writer.write_all(&greeting.concat()).await?;
            tokio::select! {
                done = self.read_requests(reader, &connection) => done,
                done = write_queue(&mut writer, &connection.replies, patience) => done,
                done = self.part(&connection) => done,
            }
        };
        let ended = talk.await;
        let _ = self.clients.send(FromClient::Gone(connection)).await;
        ended
    }

    /// When the node has stopped, what waits for the client still goes out, and nothing more.
    async fn part(&self, connection: &Connection) -> io::Result<()> {
        self.clients.closed().await;
        connection.replies.close();
        std::future::pending().await
    }

    async fn read_requests(
        &self,
        mut reader: FrameReader<OwnedReadHalf>,
        connection: &Arc<Connection>,
    ) -> io::Result<()> {
        let Limits { max_frame, client_idle, .. } = self.shared.limits;
        let idle = if planted("N46") { Duration::MAX } else { client_idle };
        loop {
            let next = timeout(idle, reader.next(max_frame)).await?;
            let Some(frame) = next.map_err(io::Error::other)? else { return Ok(()) };
            let said = codec::decode::<ToReplica>(&frame).map_err(io::Error::other)?;
            let client = match &said {
                ToReplica::Request(request) => request.command.client,
                ToReplica::Query(query) => query.client,
            };
            if client != connection.client {
                return Err(io::Error::other("a client asks in the name of another"));
            }
            match said {
                ToReplica::Request(request) => {
                    if let Err((request, why)) = self.take(connection, request) {
                        connection.reply(refusal(self.shared.id, &request, why));
                    }
                }
                ToReplica::Query(query) => {
                    if let Err((query, why)) = self.take_query(connection, query) {
                        connection.reply_to_query(query_reply(self.shared.id, &query, Err(why)));
                    }
                }
            }
        }
    }

    /// Passes a question to the node, under the same bounds as a command.
    fn take_query(
        &self,
        connection: &Arc<Connection>,
        query: Query,
    ) -> Result<(), (Query, Refusal)> {
        let length = query.question.len() + QUERY_OVERHEAD;
        match self.room(length) {
            Ok((place, room)) => {
                let connection = Arc::clone(connection);
                place.send(FromClient::Query { connection, query, room });
                Ok(())
            }
            Err(why) => Err((query, why)),
        }
    }

    /// A place in the queue, and room for so many bytes, at once or not at all.
    fn room(&self, length: usize) -> Result<(Place<'_>, Taken), Refusal> {
        if length > self.shared.limits.max_command {
            return Err(Refusal::TooLarge);
        }
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(Refusal::Stopping);
        }
        let room = self.shared.pending.try_take(length).ok_or(Refusal::Busy)?;
        match self.clients.try_reserve() {
            Ok(place) => Ok((place, room)),
            Err(mpsc::error::TrySendError::Full(())) => Err(Refusal::Busy),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Refusal::Stopping),
        }
    }

    /// Passes a request to the node, or says why not. Nothing here waits: a client learns at once
    /// that the replica is busy.
    fn take(
        &self,
        connection: &Arc<Connection>,
        request: Request,
    ) -> Result<(), (Request, Refusal)> {
        // Beyond 255 bytes a tag cannot be framed; no signature is that long.
        if request.command.tag.0.len() > 255 {
            return Err((request, Refusal::TooLarge));
        }
        match self.room(request.command.framed_len()) {
            Ok((place, room)) => {
                let connection = Arc::clone(connection);
                place.send(FromClient::Request { connection, request, room });
                Ok(())
            }
            Err(why) => Err((request, why)),
        }
    }
}

type Place<'a> = mpsc::Permit<'a, FromClient>;

/// Returns when the node has stopped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever would say it is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Both ends of a connection, as long as one task has them.
struct Line {
    reader: FrameReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Line {
    fn greet(&mut self, greeting: &Greeting) -> impl Future<Output = io::Result<()>> {
        let bytes = [&PREAMBLE[..], &frame::encode(greeting)].concat();
        async move { self.writer.write_all(&bytes).await }
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.writer.write_all(frame).await
    }
}

/// Counts itself as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
