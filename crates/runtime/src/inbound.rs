//! The one connection that each peer has to us, on the listening side.

use consensus_core::mutant::planted;
use consensus_core::{Incarnation, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;

/// As long as a connection has it, it is heard, and no other of the same peer is.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// Which connection of each peer is the newest.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    links: Mutex<BTreeMap<NodeId, Link>>,
}

#[derive(Debug)]
struct Link {
    incarnation: Incarnation,
    task: Option<AbortHandle>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Inbound {
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
        let turn = self.replace(from, incarnation, own)?;
        if planted("N16") {
            return Ok(Arc::new(tokio::sync::Mutex::new(())).lock_owned().await);
        }
        Ok(turn.lock_owned().await)
    }

    fn replace(
        &self,
        from: NodeId,
        incarnation: Incarnation,
        own: AbortHandle,
    ) -> Result<Arc<tokio::sync::Mutex<()>>, String> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Link { incarnation, task: None, turn: Arc::default() };
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
        Ok(Arc::clone(&link.turn))
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
        let inbound = Inbound::default();
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
        let inbound = Inbound::default();
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
}
