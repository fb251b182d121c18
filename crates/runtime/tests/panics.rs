//! A service that panics on a command (faults list, 2.3), though its contract says that it must
//! not: who leads stops, and says why, and so will whoever leads next. Nothing is lost, and a
//! service that is mended goes on.

mod support;

use bytes::Bytes;
use consensus_core::{NodeId, Outcome, Patience, RestoreError, StateMachine};
use std::time::Duration;
use support::{ToyCluster, number};
use synod_runtime::{StopReason, start};
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
