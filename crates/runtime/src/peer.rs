//! The dialling side: one connection to each peer, for what we say to it. It is made again when it
//! breaks; what was under way then is lost, as on any network.

use crate::chance::Chance;
use crate::config::Limits;
use crate::frame::{FrameError, FrameReader};
use crate::queue::FrameQueue;
use crate::wire::{DialError, Hello, connect, dial};
use crate::write::write_queue;
use consensus_core::{Delay, NodeId};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// Between attempts to connect: doubled from the first to the last, and spread, so that replicas
/// that lost each other do not dial in step.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(200);

/// The way to one peer.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) hello: Hello,
    pub(crate) queue: Arc<FrameQueue>,
    pub(crate) limits: Limits,
    /// Connect again when the connection breaks. Without, the first end is the last.
    pub(crate) lasting: bool,
}

impl Peer {
    /// Connects, writes what is queued, connects again; until aborted, or until the queue is closed
    /// and empty.
    pub(crate) async fn run(self) {
        let mut chance = Chance::from_system();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            match timeout(self.limits.handshake, self.connect()).await {
                Ok(Ok((reader, writer))) => {
                    tracing::debug!(peer = %self.node, "connected");
                    pause = FIRST_PAUSE;
                    told = false;
                    let ended = self.talk(reader, writer).await;
                    tracing::debug!(peer = %self.node, ?ended, "the connection ended");
                }
                // A peer that says no is misconfigured, or we are: somebody should know, once.
                Ok(Err(DialError::Refused(why))) if !told => {
                    tracing::warn!(peer = %self.node, why, "the peer refuses us");
                    told = true;
                }
                Ok(Err(error)) => tracing::debug!(peer = %self.node, %error, "not connected"),
                Err(_) => tracing::debug!(peer = %self.node, "the peer does not answer"),
            }
            if !self.lasting || self.queue.is_closed() {
                return;
            }
            // To a peer that is away nothing is said: what it missed is repeated by the algorithm.
            self.queue.clear();
            tokio::time::sleep(chance.draw(Delay { min: pause / 2, max: pause })).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn connect(&self) -> Result<(FrameReader<OwnedReadHalf>, OwnedWriteHalf), DialError> {
        let patience = self.limits.write_timeout;
        let stream = connect(self.address, patience).await.map_err(FrameError::from)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = FrameReader::new(reader);
        dial(&mut reader, &mut writer, &self.hello).await?;
        Ok((reader, writer))
    }

    /// Writes what is queued until the connection breaks. Nothing is said the other way: whatever
    /// comes from there, an end or a word, is the end.
    async fn talk(
        &self,
        mut reader: FrameReader<OwnedReadHalf>,
        mut writer: OwnedWriteHalf,
    ) -> io::Result<()> {
        let write = write_queue(&mut writer, &self.queue, self.limits.write_timeout);
        tokio::select! {
            done = write => done,
            _ = reader.next(0) => Ok(()),
        }
    }
}
