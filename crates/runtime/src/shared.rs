//! What all tasks of a node share.

use crate::clock::Clock;
use crate::config::Limits;
use crate::report::{CounterReport, MembersReport, StatusReport};
use crate::room::Room;
use crate::wire::Hello;
use consensus_core::{
    AuthMeter, Authenticator, Cluster, Counters, Incarnation, LogIndex, Membership, NodeId, Status,
};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What the node loop tells beside the replica's own status.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// Everything up to here is applied.
    pub(crate) applied: LogIndex,
    /// The newest snapshot on disk covers everything up to here.
    pub(crate) snapshot: LogIndex,
    /// The members in force.
    pub(crate) members: Membership,
    /// Are they committed?
    pub(crate) committed: bool,
}

/// What all tasks of a node share.
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) cluster: Cluster,
    pub(crate) algorithm: &'static str,
    pub(crate) incarnation: Incarnation,
    pub(crate) keys: Arc<dyn Authenticator>,
    pub(crate) meter: AuthMeter,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) counts: Arc<Mutex<Counters>>,
    pub(crate) rejected: AtomicU64,
    pub(crate) status: watch::Receiver<Status>,
    /// Room for commands that were taken and not answered, in bytes.
    pub(crate) pending: Room,
    pub(crate) clients: AtomicUsize,
    pub(crate) stopping: AtomicBool,
    pub(crate) facts: Mutex<Facts>,
    /// Where peers said that they listen.
    pub(crate) contacts: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shared {
    /// Time since the node started.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counters.tags_made = self.meter.made();
        counters.tags_checked = self.meter.checked_nodes();
        counters.client_tags_checked = self.meter.checked_clients();
        counters.rejected = self.rejected.load(Ordering::Relaxed);
        counters
    }

    pub(crate) fn report(&self) -> StatusReport {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let report = StatusReport {
            node: self.id,
            cluster: self.cluster.id.to_string(),
            algorithm: self.algorithm.to_string(),
            incarnation: self.incarnation.0,
            role: String::new(),
            epoch: 0,
            leader: None,
            committed: 0,
            last: 0,
            purged: 0,
            applied: facts.applied.0,
            snapshot: facts.snapshot.0,
            members: MembersReport::of(&facts.members, facts.committed),
            uptime_ms: u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX),
            clients: self.clients.load(Ordering::Relaxed),
            counters: CounterReport::of(&self.counters()),
        };
        report.with_status(*self.status.borrow())
    }

    /// No further command is taken.
    pub(crate) fn stop_admitting(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Where a peer said that it listens.
    pub(crate) fn contact_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    /// A peer says where it listens.
    pub(crate) fn heard_of(&self, node: NodeId, contact: Option<SocketAddr>) {
        if let Some(contact) = contact {
            self.contacts.lock().unwrap_or_else(PoisonError::into_inner).insert(node, contact);
        }
    }

    /// May whoever says this come in?
    pub(crate) fn check(&self, hello: &Hello) -> Result<(), String> {
        let (cluster, algorithm) = match hello {
            Hello::Status => return Ok(()),
            Hello::Client { cluster, algorithm, .. }
            | Hello::Operator { cluster, algorithm, .. }
            | Hello::Peer { cluster, algorithm, .. } => (cluster, algorithm),
        };
        if *cluster != self.cluster.id {
            return Err(format!("this is cluster {}, not {cluster}", self.cluster.id));
        }
        if algorithm != self.algorithm {
            return Err(format!("this cluster runs {}, not {algorithm}", self.algorithm));
        }
        if let Hello::Peer { from, to, .. } = hello {
            if *to != self.id {
                return Err(format!("this is {}, not {to}: check the addresses", self.id));
            }
            // Who is a member changes; the protocol knows whose word counts.
            if *from == self.id || from.index() >= NodeId::LIMIT {
                return Err(format!("{from} is no peer of {}", self.id));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::identity::DiskId;
    use consensus_core::{ClientId, ClusterId, NoKeys, Role};

    /// What the tasks of replica 1 of three share.
    pub(crate) fn shared() -> Shared {
        let (role, epoch, leader) = (Role::Follower, 0, None);
        let (committed, last) = (LogIndex::ZERO, LogIndex::ZERO);
        let purged = LogIndex::ZERO;
        let (_, status) = watch::channel(Status { role, epoch, leader, committed, last, purged });
        Shared {
            id: NodeId(1),
            cluster: Cluster::new(ClusterId(7), 3),
            algorithm: "raft",
            incarnation: Incarnation(1),
            keys: Arc::new(NoKeys),
            meter: AuthMeter::default(),
            limits: Limits::default(),
            clock: Clock::start(),
            counts: Arc::default(),
            rejected: AtomicU64::new(0),
            status,
            pending: Room::new(1),
            clients: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            facts: Mutex::default(),
            contacts: Mutex::default(),
        }
    }

    fn peer(cluster: u128, algorithm: &str, from: u8, to: u8) -> Hello {
        Hello::Peer {
            cluster: ClusterId(cluster),
            algorithm: algorithm.into(),
            from: NodeId(from),
            to: NodeId(to),
            incarnation: Incarnation(1),
            disk: DiskId(3),
            contact: None,
        }
    }

    /// Two clusters on one network: frames of the other never change anything.
    #[test]
    fn only_peers_and_clients_of_this_cluster_come_in() {
        let shared = shared();
        let said = |hello| shared.check(&hello).expect_err("refused");
        assert_eq!(shared.check(&peer(7, "raft", 0, 1)), Ok(()));
        assert_eq!(shared.check(&Hello::Status), Ok(()));
        assert!(said(peer(8, "raft", 0, 1)).contains("this is cluster"));
        assert!(said(peer(7, "pbft", 0, 1)).contains("this cluster runs raft"));
        assert!(said(peer(7, "raft", 0, 2)).contains("this is n1, not n2"));
        assert!(said(peer(7, "raft", 1, 1)).contains("no peer"), "itself");
        assert!(said(peer(7, "raft", 128, 1)).contains("no peer"), "nobody has this number");
        assert_eq!(shared.check(&peer(7, "raft", 3, 1)), Ok(()), "it may have joined");
        let client = |cluster, algorithm: &str| Hello::Client {
            cluster: ClusterId(cluster),
            algorithm: algorithm.into(),
            client: ClientId(1),
        };
        assert_eq!(shared.check(&client(7, "raft")), Ok(()));
        assert!(shared.check(&client(8, "raft")).is_err());
        assert!(shared.check(&client(7, "paxos")).is_err());
    }
}
