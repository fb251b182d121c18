//! The connections that a node dials: one to each member, and to whoever else it must answer.
//!
//! Members come and go. A link is opened when the protocol says that a node is a member, and closed
//! when it is committed that it is none. Before anything is committed, all nodes with a configured
//! address count as members: a replica that joins has to answer somebody. Where a node listens, the
//! members themselves say; if they do not, the configuration; if it does not, the node itself said
//! it when it dialled us.

use crate::config::Limits;
use crate::identity::DiskId;
use crate::peer::Peer;
use crate::queue::FrameQueue;
use crate::shared::Shared;
use crate::wire::Hello;
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{Membership, NodeId, NodeSet};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::{AbortHandle, JoinSet};

/// A link that is open.
struct Open {
    address: SocketAddr,
    queue: Arc<FrameQueue>,
    task: AbortHandle,
    /// It is kept up, whether or not there is something to say.
    lasting: bool,
}

/// Why a frame did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// Nobody knows where the node is.
    NoAddress,
    /// Too much waits for it.
    Full,
}

/// All links of a node.
pub(crate) struct Links {
    shared: Arc<Shared>,
    disk: DiskId,
    /// Where this node listens.
    contact: Option<SocketAddr>,
    limits: Limits,
    configured: BTreeMap<NodeId, SocketAddr>,
    contacts: BTreeMap<NodeId, SocketAddr>,
    open: BTreeMap<NodeId, Open>,
    tasks: JoinSet<()>,
}

impl Links {
    /// Opens links to all nodes whose addresses are configured.
    pub(crate) fn new(
        shared: Arc<Shared>,
        disk: DiskId,
        contact: Option<SocketAddr>,
        mut configured: BTreeMap<NodeId, SocketAddr>,
    ) -> Self {
        configured.remove(&shared.id);
        let limits = shared.limits;
        let (contacts, open, tasks) = Default::default();
        let mut links = Self { shared, disk, contact, limits, configured, contacts, open, tasks };
        links.keep_up(links.configured.keys().copied().collect());
        links
    }

    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        let known = self.contacts.get(&node).or_else(|| self.configured.get(&node));
        known.copied().or_else(|| self.shared.contact_of(node))
    }

    /// The members are these now.
    pub(crate) fn members(&mut self, membership: &Membership, committed: bool) {
        self.contacts.clear();
        for (node, contact) in &membership.contacts {
            match contact.parse() {
                Ok(address) => drop(self.contacts.insert(*node, address)),
                Err(_) => tracing::warn!(%node, contact, "the contact of a member is no address"),
            }
        }
        let mut wanted = membership.members().without(self.shared.id);
        if !committed || wanted.is_empty() {
            wanted = wanted.or(self.configured.keys().copied().collect());
        }
        if planted("N01") {
            wanted = wanted.or(self.open.keys().copied().collect());
        }
        self.keep_up(wanted);
    }

    /// These links are kept up from now on, and no others.
    fn keep_up(&mut self, wanted: NodeSet) {
        let unwanted: Vec<_> =
            self.open.keys().copied().filter(|node| !wanted.contains(*node)).collect();
        for node in unwanted {
            // What waits for it still goes out.
            if let Some(open) = self.open.remove(&node) {
                open.queue.close();
            }
        }
        for node in wanted.iter() {
            let Some(address) = self.address(node) else {
                tracing::debug!(%node, "nobody knows yet where this member is");
                continue;
            };
            let stays = self.open.get(&node).is_some_and(|o| o.lasting && o.address == address);
            if !stays {
                self.open(node, address, true);
            }
        }
    }

    fn open(&mut self, node: NodeId, address: SocketAddr, lasting: bool) {
        let queue = Arc::new(FrameQueue::new(self.limits.peer_queue_bytes));
        let hello = Hello::Peer {
            cluster: self.shared.cluster.id,
            algorithm: self.shared.algorithm.to_string(),
            from: self.shared.id,
            to: node,
            incarnation: self.shared.incarnation,
            disk: self.disk,
            contact: self.contact,
        };
        let peer =
            Peer { node, address, hello, queue: Arc::clone(&queue), limits: self.limits, lasting };
        // Who is no member and cannot be reached gets one link after the other.
        while !planted("N42") && self.tasks.try_join_next().is_some() {}
        let task = self.tasks.spawn(peer.run());
        if let Some(before) = self.open.insert(node, Open { address, queue, task, lasting }) {
            before.task.abort();
        }
    }

    /// Queues a frame. Who is no member gets a link for the occasion.
    pub(crate) fn push(&mut self, node: NodeId, frame: Bytes) -> Result<(), Unsent> {
        let ended = self.open.get(&node).is_none_or(|open| open.task.is_finished());
        if ended {
            let address = self.address(node).ok_or(Unsent::NoAddress)?;
            let lasting = self.open.get(&node).is_some_and(|open| open.lasting);
            self.open(node, address, lasting);
        }
        let open = self.open.get(&node).ok_or(Unsent::NoAddress)?;
        open.queue.push(frame).map_err(|_| Unsent::Full)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::shared::tests::shared;
    use consensus_core::LogIndex;
    use std::net::Ipv4Addr;

    fn set(nodes: &[u8]) -> NodeSet {
        nodes.iter().map(|node| NodeId(*node)).collect()
    }

    fn address(node: u8) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 1 + u16::from(node)).into()
    }

    fn nodes(links: &Links) -> NodeSet {
        links.open.keys().copied().collect()
    }

    /// A member gets a link before the change is committed, and keeps it until it is committed that
    /// it is none. Who is no member gets one only to be answered.
    #[test]
    pub(crate) fn links_follow_the_members() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _inside = runtime.as_ref().expect("a runtime").enter();
        let configured = [0, 1, 2].map(|node| (NodeId(node), address(node))).into();
        let mut links = Links::new(Arc::new(shared()), DiskId(1), None, configured);
        assert_eq!(nodes(&links), set(&[0, 2]), "those that are configured, and not itself");
        let contacts = [(NodeId(3), address(3).to_string())].into();
        let four = Membership { voters: set(&[0, 1, 2, 3]), contacts, ..Membership::default() };
        links.members(&four, false);
        assert_eq!(nodes(&links), set(&[0, 2, 3]));
        let three = Membership { version: LogIndex(5), voters: set(&[1, 2, 3]), ..four };
        links.members(&three, false);
        assert_eq!(nodes(&links), set(&[0, 2, 3]), "it may yet come to nothing");
        links.members(&three, true);
        assert_eq!(nodes(&links), set(&[2, 3]));
        assert_eq!(links.push(NodeId(0), Bytes::new()), Ok(()), "who asks is answered");
        assert_eq!(links.push(NodeId(9), Bytes::new()), Err(Unsent::NoAddress));
        links.shared.heard_of(NodeId(9), Some(address(9)));
        assert_eq!(links.push(NodeId(9), Bytes::new()), Ok(()), "it said where it is");
    }

    /// A server that was removed while it was away asks again and again, from a place where nobody
    /// answers: each answer is a link of its own, and nothing of it stays.
    #[test]
    pub(crate) fn links_that_ended_take_no_room() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let nobody = listener.local_addr().expect("it is bound");
            drop(listener);
            let mut links = Links::new(Arc::new(shared()), DiskId(1), None, BTreeMap::new());
            links.shared.heard_of(NodeId(9), Some(nobody));
            for _ in 0..20 {
                assert_eq!(links.push(NodeId(9), Bytes::new()), Ok(()));
                while !links.open[&NodeId(9)].task.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
            assert!(links.tasks.len() <= 2, "{} links", links.tasks.len());
        });
    }
}
