//! The one connection that each peer has to us, on the listening side.

use crate::room::Room;
use consensus_core::mutant::planted;
use consensus_core::{Incarnation, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;

/// As long as a connection has it, it is heard, and no other of the same peer is.
#[derive(Debug)]
pub(crate) struct Turn {
    _alone: OwnedMutexGuard<()>,
    /// For what comes from this peer.
    pub(crate) room: Room,
}

/// Which connection of each peer is the newest.
#[derive(Debug)]
pub(crate) struct Inbound {
    links: Mutex<BTreeMap<NodeId, Link>>,
    /// Bytes that may wait from one peer.
    bytes: usize,
}

#[derive(Debug)]
struct Link {
    incarnation: Incarnation,
    task: Option<AbortHandle>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The peer's, not its connection's: what came over an older one still waits. A replica whose
    /// disk hangs reads nothing more, so that its peers dial again and again.
    room: Room,
}

impl Inbound {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { links: Mutex::default(), bytes }
    }

    /// Takes the place of the peer's earlier connection, and waits until that has ended: a task
    /// that is told to end comes to the end of its step first, and a message that it hands on then
    /// would come after those of the newer connection, which links in order (`Links::Fifo`) do not
    /// do.
    ///
    /// # Errors
    /// In an earlier life of the peer: that is a copy of its disk, or a disk that was set up anew,
    /// and has forgotten promises.
    pub(crate) async fn take_over(
        &self,
        from: NodeId,
        incarnation: Incarnation,
        own: AbortHandle,
    ) -> Result<Turn, String> {
        let (mut turn, mut room) = self.replace(from, incarnation, own)?;
        if planted("N16") {
            turn = Arc::default();
        }
        if planted("N51") {
            room = Room::new(self.bytes);
        }
        Ok(Turn { _alone: turn.lock_owned().await, room })
    }

    fn replace(
        &self,
        from: NodeId,
        incarnation: Incarnation,
        own: AbortHandle,
    ) -> Result<(Arc<tokio::sync::Mutex<()>>, Room), String> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let room = || Room::new(self.bytes);
        let fresh = || Link { incarnation, task: None, turn: Arc::default(), room: room() };
        let link = links.entry(from).or_insert_with(fresh);
        if incarnation < link.incarnation && !planted("N17") {
            return Err(format!(
                "{from} has started {} times before, and this is start {}: its data directory is \
                 an old copy or was set up anew",
                link.incarnation.0, incarnation.0
            ));
        }
        link.incarnation = incarnation;
        if let Some(older) = link.task.replace(own)
            && !planted("N18")
        {
            older.abort();
        }
        Ok((Arc::clone(&link.turn), link.room.clone()))
    }
}

/// Why peers were turned away last. They dial again at once, and somebody should know, once.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(Mutex<BTreeMap<NodeId, String>>);

impl TurnedAway {
    /// A peer is turned away for this reason: is that news?
    pub(crate) fn is_news(&self, from: NodeId, why: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told.get(&from).is_some_and(|told| told == why);
        if !known {
            told.insert(from, why.to_string());
        }
        !known || planted("N56")
    }

    /// A peer was let in.
    pub(crate) fn forget(&self, from: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&from);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll};
    use std::task::Waker;
    use tokio::task::JoinHandle;

    const PEER: NodeId = NodeId(2);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
    }

    fn connection() -> JoinHandle<()> {
        tokio::spawn(std::future::pending())
    }

    /// What came over an older connection never comes after what came over a newer one.
    #[test]
    pub(crate) fn a_newer_connection_is_heard_when_the_older_has_ended() {
        let inbound = Inbound::new(9);
        runtime().block_on(async {
            let (first, second, other) = (connection(), connection(), connection());
            let life = Incarnation(1);
            let turn = inbound.take_over(PEER, life, first.abort_handle()).await.expect("let in");
            let mut newer = pin!(inbound.take_over(PEER, life, second.abort_handle()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(newer.as_mut().poll(&mut context).is_pending(), "the older is at work still");
            tokio::task::yield_now().await;
            assert!(first.is_finished(), "it was told to end");
            let alone = inbound.take_over(NodeId(3), life, other.abort_handle()).await;
            assert!(alone.is_ok(), "nobody waits for another peer");
            drop(turn);
            let Poll::Ready(Ok(_turn)) = newer.as_mut().poll(&mut context) else {
                panic!("the older has ended")
            };
            assert!(!second.is_finished() && !other.is_finished());
        });
    }

    /// A replica never starts with a number that it had before; who says so has an old disk.
    #[test]
    pub(crate) fn an_earlier_life_is_not_let_in_and_disturbs_nobody() {
        let inbound = Inbound::new(9);
        runtime().block_on(async {
            let (now, before, next) = (connection(), connection(), connection());
            let turn = inbound.take_over(PEER, Incarnation(5), now.abort_handle()).await;
            let mut older = pin!(inbound.take_over(PEER, Incarnation(4), before.abort_handle()));
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(Err(why)) = older.as_mut().poll(&mut context) else {
                panic!("it is not refused at once")
            };
            assert!(why.contains("has started 5 times before"), "{why}");
            tokio::task::yield_now().await;
            assert!(!now.is_finished());
            drop(turn);
            inbound.take_over(PEER, Incarnation(6), next.abort_handle()).await.expect("later");
        });
    }

    /// A peer that dials again, as it does when nobody reads what it writes, gets no more room than
    /// it had: what came over its older connection still waits.
    #[test]
    pub(crate) fn a_peer_that_dials_again_gets_no_more_room() {
        let inbound = Inbound::new(100);
        runtime().block_on(async {
            let (first, second, other) = (connection(), connection(), connection());
            let life = Incarnation(1);
            let turn = inbound.take_over(PEER, life, first.abort_handle()).await.expect("let in");
            let waits = turn.room.try_take(60).expect("room");
            drop(turn);
            let turn = inbound.take_over(PEER, Incarnation(2), second.abort_handle()).await;
            let turn = turn.expect("let in");
            assert!(turn.room.try_take(41).is_none(), "the first message still waits");
            let _rest = turn.room.try_take(40).expect("just room");
            let other = inbound.take_over(NodeId(3), life, other.abort_handle()).await;
            assert!(
                other.expect("let in").room.try_take(100).is_some(),
                "another peer's is its own"
            );
            drop(waits);
            assert!(turn.room.try_take(60).is_some(), "what was handled made room");
        });
    }

    /// A replica whose disk was lost dials all others, ten times a second and for ever: that must
    /// not fill their logs.
    #[test]
    pub(crate) fn that_a_peer_is_turned_away_is_said_once() {
        let told = TurnedAway::default();
        let news = |peer, why: &str| told.is_news(NodeId(peer), why);
        assert!(news(1, "another disk"));
        assert!(!news(1, "another disk"));
        assert!(news(2, "another disk"), "another peer");
        assert!(news(1, "an earlier life"), "another reason");
        told.forget(NodeId(1));
        assert!(news(1, "an earlier life"), "it was let in meanwhile");
        assert!(!news(2, "another disk"));
    }
}
