//! A node in numbers, as it tells them to whoever asks.

use consensus_core::mutant::planted;
use consensus_core::{ClusterId, Counters, LogIndex, Membership, NodeId, NodeSet, Role, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The replica's number.
    pub node: NodeId,
    /// The cluster's name, 32 hexadecimal digits.
    pub cluster: String,
    /// The algorithm's name.
    pub algorithm: String,
    /// How many times the replica has started.
    pub incarnation: u32,
    /// "leader", "follower", "candidate" or "peer".
    pub role: String,
    /// The term, view, or round of the highest ballot it knows.
    pub epoch: u64,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// Last index that it knows to be decided.
    pub committed: u64,
    /// Last index of its log.
    pub last: u64,
    /// Up to here its log is forgotten.
    pub purged: u64,
    /// Up to here commands are applied.
    pub applied: u64,
    /// Up to here its newest snapshot reaches; 0 without one.
    pub snapshot: u64,
    /// The members, as far as it knows.
    pub members: MembersReport,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Connections of clients.
    pub clients: usize,
    /// What it has cost so far.
    pub counters: CounterReport,
}

/// Members, as they travel.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MembersReport {
    /// The index of the entry that says so; what a change must name.
    pub version: u64,
    /// Is that entry committed?
    pub committed: bool,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// Who voted before, while a joint change is under way.
    pub outgoing: Vec<NodeId>,
    /// Who is kept up to date without a vote.
    pub learners: Vec<NodeId>,
    /// Where members are, as far as the members themselves say.
    pub contacts: BTreeMap<NodeId, String>,
}

impl MembersReport {
    /// The members in a form that can travel.
    pub fn of(members: &Membership, committed: bool) -> Self {
        let list = |set: NodeSet| set.iter().collect();
        Self {
            version: members.version.0,
            committed,
            voters: list(members.voters),
            outgoing: list(members.outgoing),
            learners: list(members.learners),
            contacts: members.contacts.clone(),
        }
    }

    /// The members.
    pub fn membership(&self) -> Membership {
        let set = |list: &[NodeId]| {
            list.iter().copied().filter(|node| node.index() < NodeId::LIMIT).collect()
        };
        Membership {
            version: LogIndex(self.version),
            voters: set(&self.voters),
            outgoing: set(&self.outgoing),
            learners: set(&self.learners),
            contacts: self.contacts.clone(),
        }
    }
}

/// Counters with names that can travel.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CounterReport {
    /// Messages to other replicas, by kind.
    pub sent: Vec<SentReport>,
    /// Records written.
    pub writes: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Signatures made by the protocol.
    pub tags_made: u64,
    /// Signatures of replicas checked by the protocol.
    pub tags_checked: u64,
    /// Signatures of clients checked by the protocol.
    pub client_tags_checked: u64,
    /// Messages that were refused on arrival.
    pub rejected: u64,
}

/// Messages of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentReport {
    /// The paper's name for it.
    pub kind: String,
    /// "command", "heartbeat", "election", "repair" or "checkpoint".
    pub traffic: String,
    /// How many; a broadcast counts each receiver.
    pub messages: u64,
    /// Their bytes, encoded.
    pub bytes: u64,
}

/// A role as a word.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Peer => "peer",
    }
}

impl CounterReport {
    /// The counters with names that can travel.
    pub fn of(counters: &Counters) -> Self {
        let sent = counters.sent().map(|(kind, sent)| SentReport {
            kind: kind.name.to_string(),
            traffic: format!("{:?}", kind.traffic).to_lowercase(),
            messages: sent.messages,
            bytes: sent.bytes,
        });
        Self {
            sent: sent.collect(),
            writes: counters.writes,
            syncs: counters.syncs,
            tags_made: counters.tags_made,
            tags_checked: counters.tags_checked,
            client_tags_checked: counters.client_tags_checked,
            rejected: counters.rejected,
        }
    }
}

impl StatusReport {
    /// Is this the report of that replica of that cluster? Anybody may ask anybody for one, and an
    /// address may have another user than it had.
    ///
    /// # Errors
    /// In words: whose it is.
    pub fn check(&self, cluster: ClusterId, node: NodeId) -> Result<(), String> {
        if self.cluster != cluster.to_string() && !planted("N58") {
            return Err(format!("this is cluster {}, not {cluster}", self.cluster));
        }
        if self.node != node {
            return Err(format!("this is {}, not {node}: check the addresses", self.node));
        }
        Ok(())
    }

    /// A node that knows nothing yet.
    pub(crate) fn empty(node: NodeId) -> Self {
        Self {
            node,
            cluster: String::new(),
            algorithm: String::new(),
            incarnation: 0,
            role: String::new(),
            epoch: 0,
            leader: None,
            committed: 0,
            last: 0,
            purged: 0,
            applied: 0,
            snapshot: 0,
            members: MembersReport::default(),
            uptime_ms: 0,
            clients: 0,
            counters: CounterReport::default(),
        }
    }

    /// Takes over what the replica says about itself.
    pub(crate) fn with_status(mut self, status: Status) -> Self {
        self.role = role_name(status.role).to_string();
        self.epoch = status.epoch;
        self.leader = status.leader;
        self.committed = status.committed.0;
        self.last = status.last.0;
        self.purged = status.purged.0;
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two clusters on one machine: what the other says is not told as a word of this one.
    #[test]
    pub(crate) fn the_report_of_another_replica_or_cluster_is_noticed() {
        let (cluster, node) = (ClusterId(7), NodeId(1));
        let mut report = StatusReport::empty(node);
        report.cluster = cluster.to_string();
        assert_eq!(report.check(cluster, node), Ok(()));
        let other = report.check(cluster, NodeId(2)).expect_err("another replica");
        assert!(other.contains("this is n1, not n2"), "{other}");
        let other = report.check(ClusterId(8), node).expect_err("another cluster");
        assert!(other.contains("this is cluster"), "{other}");
    }
}
