//! A service that panics on a command (faults list, 2.3), though its contract says that it must
//! not: who leads stops, and says why, and so will whoever leads next. Nothing is lost, and a
//! service that is mended goes on. One that panics when its snapshot is made has none, and goes on.

use crate::support::{ToyCluster, number};
use bytes::Bytes;
use consensus_core::{Frozen, NodeId, Outcome, Patience, RestoreError, StateMachine};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use synod_runtime::{NodeConfig, StopReason, start};
use tokio::time::timeout;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Longer than anything should take, so that a hang is a failure with a name.
const LONG: Duration = Duration::from_secs(120);

/// The counter of these tests, mended: it numbers whatever comes.
#[derive(Default)]
struct Mended(u64);

impl StateMachine for Mended {
    fn apply(&mut self, _: &Bytes) -> Bytes {
        self.0 += 1;
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn query(&self, _: &Bytes) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&mut self, snapshot: &[u8]) -> std::result::Result<(), RestoreError> {
        let word = snapshot.try_into().map_err(|_| RestoreError("no counter".into()))?;
        self.0 = u64::from_le_bytes(word);
        Ok(())
    }
}

/// The leader stops, and repeats what the service said. The others are switched off.
async fn says_why(cluster: &mut ToyCluster<false>) -> Result {
    let leader = cluster.nodes.remove(&NodeId(0)).expect("it was started");
    let reason = timeout(LONG, leader.stopped()).await?;
    let StopReason::Panicked(why) = &reason else { panic!("stopped for {reason}") };
    assert!(why.contains("nobody asked for"), "{why}");
    for (_, node) in std::mem::take(&mut cluster.nodes) {
        node.kill().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_panics_stops_who_leads_until_it_is_mended() -> Result {
    let mut cluster = ToyCluster::<false>::new(3).await;
    let mut client = cluster.client();
    let Outcome::Committed { result, .. } = client.call(Bytes::from_static(b"aa")).await? else {
        panic!("not applied")
    };
    assert_eq!(number(&result), 1);
    let hasty = Patience { give_up: Duration::from_secs(1), ..Patience::default() };
    let mut other = cluster.client_with(hasty);
    let outcome = other.call(Bytes::from_static(b"ab")).await;
    assert!(!matches!(outcome, Ok(Outcome::Committed { .. })), "{outcome:?}");
    says_why(&mut cluster).await?;
    // The command is in the log, so it is met again.
    for node in cluster.cluster.nodes().iter() {
        cluster.restart(node).await?;
    }
    says_why(&mut cluster).await?;
    for node in cluster.cluster.nodes().iter() {
        let handle = start(cluster.config(node), Mended::default()).await?;
        cluster.nodes.insert(node, handle);
    }
    let Outcome::Committed { result, .. } = client.call(Bytes::from_static(b"aa")).await? else {
        panic!("not applied")
    };
    assert_eq!(number(&result), 3, "the one that was met with a panic is the second");
    Ok(())
}

/// A counter whose frozen state cannot be made bytes of while it is shy.
struct Shy {
    counter: Mended,
    is_shy: Arc<AtomicBool>,
}

impl StateMachine for Shy {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.counter.apply(command)
    }

    fn query(&self, question: &Bytes) -> Bytes {
        self.counter.query(question)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.counter.snapshot()
    }

    fn freeze(&self) -> Frozen {
        let (bytes, is_shy) = (self.snapshot(), Arc::clone(&self.is_shy));
        Box::new(move || {
            assert!(!is_shy.load(Ordering::Relaxed), "nobody may see this");
            bytes
        })
    }

    fn restore(&mut self, snapshot: &[u8]) -> std::result::Result<(), RestoreError> {
        self.counter.restore(snapshot)
    }
}

/// Snapshots are made in a thread of their own. If it ended, whoever asks for one would wait for
/// ever, and the log would grow for ever, without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_panics_at_its_snapshot_has_none() -> Result {
    // A planted bug that hangs is not waited for as long.
    let hunted = std::env::var_os("SYNOD_MUTANT").is_some();
    let long = if hunted { Duration::from_secs(5) } else { LONG };
    let cluster = ToyCluster::<false>::unstarted(1);
    let is_shy = Arc::new(AtomicBool::new(true));
    let machine = Shy { counter: Mended::default(), is_shy: Arc::clone(&is_shy) };
    let config = NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    let node = start(config, machine).await?;
    let mut client = cluster.client();
    for expected in 1..=3 {
        let Outcome::Committed { result, .. } = client.call(Bytes::from_static(b"aa")).await?
        else {
            panic!("not applied")
        };
        assert_eq!(number(&result), expected);
        let why = timeout(long, node.take_snapshot()).await?.expect_err("it is shy").to_string();
        assert!(why.contains("the service panicked: nobody may see this"), "{why}");
    }
    is_shy.store(false, Ordering::Relaxed);
    assert_eq!(timeout(long, node.take_snapshot()).await??.0, 4, "three, and a session opened");
    Ok(())
}

/// The test above fails with the bug that it is about, in a process of its own.
#[cfg(feature = "mutants")]
#[test]
fn a_thread_that_ends_with_its_service_is_found() -> Result {
    let test = "panics::a_service_that_panics_at_its_snapshot_has_none";
    let ran = crate::support::planted("N54", test)?.output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(!ran.status.success() && said.contains("1 failed"), "{said}");
    Ok(())
}
