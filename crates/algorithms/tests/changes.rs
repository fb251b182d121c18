//! Changes of members that come to nothing, on the real runtime: an operator is told, and is not
//! kept from other ones.

use bytes::Bytes;
use consensus_core::{
    Change, Cluster, ClusterId, NodeId, NodeSet, RestoreError, Role, StateMachine,
};
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use synod_raft::Raft;
use synod_runtime::{Denied, NodeConfig, start};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A service that does nothing.
struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn query(&self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _: &[u8]) -> std::result::Result<(), RestoreError> {
        Ok(())
    }
}

/// Raft thesis §4.2.1: a server that is to vote and never starts stays a learner. Its operator
/// hears of that, and may ask for something else before and after.
#[tokio::test]
async fn a_new_voter_that_never_starts_blocks_no_other_change() -> Result {
    let path = format!("synod-changes-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(path));
    drop(fs::remove_dir_all(&folder.0));
    let ms = Duration::from_millis;
    let mut cluster = Cluster::new(ClusterId(1), 1);
    cluster.timing.heartbeat = ms(5);
    (cluster.timing.election_min, cluster.timing.election_max) = (ms(25), ms(50));
    let mut config = NodeConfig::<Raft>::new(NodeId(0), cluster, &folder.0)?;
    config.create = true;
    let node = start(config, Nothing).await?;
    let mut status = node.watch_status();
    status.wait_for(|status| status.role == Role::Leader && status.committed.0 > 0).await?;

    let (absent, nowhere) = (NodeId(1), "127.0.0.1:1");
    let seen = || Change::of(&node.members().0);
    let wanted = node.change_members(seen().add_voter(absent).at(absent, nowhere));
    assert_eq!(wanted.await, Err(Denied::Late), "it never came");
    let (members, committed) = node.members();
    assert!(committed && members.learners.contains(absent), "it stays a learner");
    // While it is waited for once more, it is removed.
    let again = node.change_members(seen().add_voter(absent));
    let removal = node.change_members(seen().remove(absent));
    let (again, removed) = tokio::join!(again, removal);
    assert_eq!(again, Err(Denied::Late), "another change took its place");
    let removed = removed?;
    assert_eq!((removed.voters, removed.learners), (NodeSet::first(1), NodeSet::EMPTY));
    Ok(())
}
