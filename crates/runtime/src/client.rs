//! A client of a cluster, over TCP. What a client decides, `consensus_core::Client` and
//! `consensus_core::Querier` decide; here are its connections and its clock.
//!
//! Members come and go: when a replica names a leader that the client does not know, the client
//! asks that replica for the members, and where they are.

pub(crate) mod operator;
mod read;

pub use operator::{operate, status};
pub use read::ReadError;

use crate::client_link::{CONNECT, Departures, Link, LinkEvent, MAX_FRAME, Order};
use crate::frame;
use crate::report::{MembersReport, StatusReport};
use crate::wire::{Hello, ToReplica};
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{
    Answer, Answers, Authenticator, Client, ClientId, Cluster, NodeId, NodeSet, Outcome, Patience,
    ProtocolInfo, Querier, Refusal, Todo,
};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Who waits longer than that waits for ever; times must be added to others.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// News of the connections that wait; a replica that talks more than that has to wait.
const NEWS: usize = 256;

/// What a client must know of its cluster.
#[derive(Clone)]
pub struct ClientConfig {
    /// The cluster.
    pub cluster: Cluster,
    /// The algorithm that it runs.
    pub info: ProtocolInfo,
    /// Where its replicas listen.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
    /// The client's name: a random one, or that of its key where requests are signed.
    pub id: ClientId,
    /// Higher than in every earlier life of a client with this name; with a random name, any.
    pub opening: u64,
    /// How long to wait.
    pub patience: Patience,
    /// The replica to ask first.
    pub target: NodeId,
    /// What the client signs and checks with.
    pub keys: Arc<dyn Authenticator>,
}

/// Why a command got no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The client was told nonsense.
    Config(String),
    /// No replica could be reached, so nothing was asked. With what each connection said.
    Unreachable(String),
    /// A replica did not let us in, for this reason: nothing was asked.
    Refused(String),
    /// A replica was asked, and gave no answer: what was asked may come true all the same.
    NoAnswer(String),
    /// There is no command to resume.
    NothingToResume,
    /// A replica answered something that is no answer.
    Protocol(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => f.write_str(why),
            Self::Unreachable(why) => write!(f, "no replica could be reached: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
            Self::NothingToResume => f.write_str("the last command has ended; nothing to resume"),
            Self::Protocol(why) => write!(f, "not an answer of a replica: {why}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// A client with one session: one command at a time. For more at a time, make more clients.
pub struct ClusterClient {
    client: Client,
    querier: Querier,
    keys: Arc<dyn Authenticator>,
    links: BTreeMap<NodeId, UnboundedSender<Order>>,
    addresses: BTreeMap<NodeId, SocketAddr>,
    hello: Hello,
    /// Connected to all, even when there is nothing to ask, because all answer.
    hears_all: bool,
    tell: Sender<LinkEvent>,
    events: Receiver<LinkEvent>,
    /// A replica is being asked for the members.
    learning: bool,
    started: Instant,
    /// Names each sending, so that news of an earlier one is not taken for news of this one.
    serial: u64,
    /// The first sending of the command under way.
    first: u64,
    departures: Arc<Departures>,
    /// What went wrong last with each replica.
    troubles: BTreeMap<NodeId, String>,
    /// Replicas that must have been dialled before the first command.
    undialled: NodeSet,
    tasks: JoinSet<()>,
}

impl ClusterClient {
    /// A client of this cluster. Connections are made when they are needed. Must be called inside
    /// a tokio runtime.
    ///
    /// # Errors
    /// If an address is missing that the client will need.
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let ClientConfig { cluster, info, addresses, id, opening, patience, target, keys } = config;
        let patience = bounded(patience);
        cluster.validate().map_err(|error| ClientError::Config(error.to_string()))?;
        if !cluster.contains(target) {
            return Err(ClientError::Config(format!("there is no {target} in the cluster")));
        }
        if !addresses.contains_key(&target) {
            return Err(ClientError::Config(format!("the address of {target} is missing")));
        }
        let (tell, events) = channel(NEWS);
        let hears_all = info.answers == Answers::All;
        let algorithm = info.name.to_string();
        let hello = Hello::Client { cluster: cluster.id, algorithm, client: id };
        let known: NodeSet = addresses.keys().copied().collect();
        let nodes = known.and(cluster.nodes());
        let querier = Querier::new(id, nodes, patience, target);
        let mut client = Client::new(id, opening, cluster, info, patience, target);
        client.know(nodes);
        let (links, troubles) = Default::default();
        let mut this = Self {
            client,
            querier,
            keys,
            links,
            addresses: BTreeMap::new(),
            hello,
            hears_all,
            tell,
            events,
            learning: false,
            started: Instant::now(),
            serial: 0,
            first: 1,
            departures: Arc::default(),
            troubles,
            undialled: if hears_all { nodes } else { NodeSet::EMPTY },
            tasks: JoinSet::new(),
        };
        for (node, address) in addresses {
            this.link(node, address);
        }
        Ok(this)
    }

    /// Gets to know a replica.
    fn link(&mut self, node: NodeId, address: SocketAddr) {
        if self.addresses.insert(node, address) == Some(address) {
            return;
        }
        let (orders, inbox) = unbounded_channel();
        self.links.insert(node, orders);
        let (hello, events) = (self.hello.clone(), self.tell.clone());
        let (stays, departures) = (self.hears_all, Arc::clone(&self.departures));
        let link = Link { node, address, hello, stays, departures, events };
        self.tasks.spawn(link.run(inbox));
    }

    /// The client's name.
    pub fn id(&self) -> ClientId {
        self.client.id()
    }

    /// The replica that is asked first: the leader, as far as the client knows.
    pub fn target(&self) -> NodeId {
        self.client.target()
    }

    /// Has a command applied, once, and waits for its outcome. If an earlier command ended as
    /// [`Outcome::Unknown`], it is given up. May be dropped half-way; the command's outcome is
    /// unknown then.
    ///
    /// # Errors
    /// If no replica could be reached, so that surely nothing happened.
    pub async fn call(&mut self, payload: Bytes) -> Result<Outcome, ClientError> {
        self.client.abandon();
        if payload.len() > MAX_FRAME / 2 {
            return Ok(Outcome::Refused(Refusal::TooLarge));
        }
        self.be_registered().await;
        while let Ok(event) = self.events.try_recv() {
            self.note(&event);
        }
        self.first = self.serial + 1;
        let todo = self.client.begin(self.started.elapsed(), payload, &*self.keys);
        self.drive(todo).await
    }

    /// Asks again for the outcome of a command that ended as [`Outcome::Unknown`]: it is applied
    /// once, whether or not it was before.
    ///
    /// # Errors
    /// If the last command did not end so.
    pub async fn resume(&mut self) -> Result<Outcome, ClientError> {
        let todo = self.client.resume(self.started.elapsed());
        self.drive(todo.ok_or(ClientError::NothingToResume)?).await
    }

    /// What the node at this address says about itself.
    ///
    /// # Errors
    /// If nobody answers there, within two seconds, in this protocol.
    pub async fn status(address: SocketAddr) -> Result<StatusReport, ClientError> {
        status(address, CONNECT).await
    }

    /// Where every replica answers, the client must be known to all before it asks the first
    /// time, or it would miss answers and ask again. Replicas that are down are not waited for.
    async fn be_registered(&mut self) {
        let dialled = async {
            while !self.undialled.is_empty() {
                let Some(event) = self.events.recv().await else { return };
                if let LinkEvent::Up(node) | LinkEvent::Down { node, .. } = &event {
                    self.undialled.remove(*node);
                }
                self.note(&event);
            }
        };
        let _ = timeout(CONNECT, dialled).await;
        self.undialled = NodeSet::EMPTY;
    }

    async fn drive(&mut self, mut todo: Todo) -> Result<Outcome, ClientError> {
        loop {
            match todo {
                Todo::Send(to, request) => self.send(to, &ToReplica::Request(request)),
                Todo::Wait => {}
                Todo::Ended(Outcome::Refused(_) | Outcome::Unknown)
                    if self.departures.call_back(self.first, self.serial) =>
                {
                    self.client.abandon();
                    return Err(self.unreachable());
                }
                Todo::Ended(outcome) => return Ok(outcome),
            }
            let wake = self.started + self.client.wake_at().unwrap_or(Duration::MAX / 4);
            todo = tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.on_event(event),
                () = sleep_until(wake) => self.client.tick(self.started.elapsed()),
            };
        }
    }

    fn send(&mut self, to: NodeSet, words: &ToReplica) {
        self.serial += 1;
        let frame = frame::encode(words);
        for node in to.iter() {
            if let Some(link) = self.links.get(&node) {
                // The task ends only with this client.
                let _ = link.send(Order { serial: self.serial, frame: frame.clone() });
            }
        }
    }

    fn on_event(&mut self, event: LinkEvent) -> Todo {
        self.note(&event);
        let now = self.started.elapsed();
        match event {
            LinkEvent::Reply(reply) => self.client.receive(now, &reply, &*self.keys),
            LinkEvent::Down { node, unsent, broken, .. } => {
                if unsent == Some(self.serial) {
                    self.client.disconnected(now, node, false)
                } else if broken == Some(self.serial) {
                    self.client.disconnected(now, node, true)
                } else {
                    Todo::Wait
                }
            }
            LinkEvent::Up(_) | LinkEvent::Answer(_) | LinkEvent::Members(_) => Todo::Wait,
        }
    }

    /// Keeps what helps to explain a failure.
    fn note(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Up(node) => {
                self.troubles.remove(node);
            }
            LinkEvent::Down { node, why, .. } => {
                self.troubles.insert(*node, why.clone());
            }
            LinkEvent::Reply(reply) => {
                if let Answer::Refused(Refusal::NotLeader(Some(leader)))
                | Answer::Lost(Some(leader)) = reply.answer
                {
                    self.look_for(leader, reply.from);
                }
            }
            LinkEvent::Answer(reply) => {
                if let Err(Refusal::NotLeader(Some(leader))) = reply.answer {
                    self.look_for(leader, reply.from);
                }
            }
            LinkEvent::Members(members) => {
                self.learning = false;
                self.learn(members.as_ref());
            }
        }
    }

    /// A replica names a leader. If we do not know it, the replica may know where it is.
    fn look_for(&mut self, leader: NodeId, asked: NodeId) {
        let Some(address) = self.addresses.get(&asked).copied() else { return };
        if self.learning || self.hears_all || self.addresses.contains_key(&leader) {
            return;
        }
        self.learning = true;
        let tell = self.tell.clone();
        self.tasks.spawn(async move {
            let members = status(address, CONNECT).await.ok().map(|report| report.members);
            // When the client is gone, so is this task, soon.
            let _ = tell.send(LinkEvent::Members(members)).await;
        });
    }

    /// These are the members now, as a replica says.
    fn learn(&mut self, members: Option<&MembersReport>) {
        let Some(members) = members else { return };
        for (node, contact) in &members.contacts {
            if let Ok(address) = contact.parse() {
                self.link(*node, address);
            }
        }
        let known: NodeSet = self.addresses.keys().copied().collect();
        let voters = members.membership().electorate().and(known);
        self.client.know(voters);
        self.querier.know(voters);
    }

    fn unreachable(&self) -> ClientError {
        ClientError::Unreachable(self.said())
    }

    /// What went wrong with each replica.
    fn said(&self) -> String {
        let said = self.troubles.iter().map(|(node, why)| format!("{node}: {why}"));
        said.collect::<Vec<_>>().join("; ")
    }
}

fn bounded(patience: Patience) -> Patience {
    if planted("N59") {
        return patience;
    }
    let Patience { attempt, pause, give_up } = patience;
    let [attempt, pause, give_up] = [attempt, pause, give_up].map(|time| time.min(FOR_EVER));
    Patience { attempt, pause, give_up }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use consensus_core::{ClusterId, Consistency, FaultModel, Links, NoKeys, Takes};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    const INFO: ProtocolInfo = ProtocolInfo {
        name: "toy",
        title: "Toy",
        paper: "",
        faults: FaultModel::Crash,
        answers: Answers::ClientReplica,
        takes: Takes::Leader,
        links: Links::Any,
    };

    fn client(replica: SocketAddr, patience: Patience) -> ClusterClient {
        ClusterClient::connect(ClientConfig {
            cluster: Cluster::new(ClusterId(1), 1),
            info: INFO,
            addresses: [(NodeId(0), replica)].into(),
            id: ClientId(7),
            opening: 1,
            patience,
            target: NodeId(0),
            keys: Arc::new(NoKeys),
        })
        .expect("a sound configuration")
    }

    /// Whoever waits for ever says so with the longest time that there is.
    #[test]
    pub(crate) fn a_client_may_wait_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _inside = runtime.as_ref().expect("a runtime").enter();
        let [attempt, pause, give_up] = [Duration::MAX; 3];
        let nowhere = (std::net::Ipv4Addr::LOCALHOST, 1).into();
        let mut client = client(nowhere, Patience { attempt, pause, give_up });
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(client.call(Bytes::new())).poll(&mut context).is_pending());
        let read = client.read(Bytes::new(), Consistency::Local);
        assert!(pin!(read).poll(&mut context).is_pending());
    }

    /// "No replica could be reached, so that surely nothing happened": nor may it happen later.
    #[test]
    pub(crate) fn what_could_not_be_asked_is_not_asked_later() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            // Takes the connection and says nothing, as a machine that is just starting.
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
            let ms = Duration::from_millis;
            let patience = Patience { attempt: ms(20), pause: ms(5), give_up: ms(50) };
            let mut client = client(listener.local_addr().expect("bound"), patience);
            let outcome = client.call(Bytes::from_static(b"command")).await;
            assert!(matches!(outcome, Err(ClientError::Unreachable(_))), "{outcome:?}");
            assert!(client.serial > 0);
            for serial in 1..=client.serial {
                assert!(!client.departures.leave(serial), "sending {serial} still waits");
            }
        });
    }
}
