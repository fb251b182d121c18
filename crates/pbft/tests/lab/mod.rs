//! A laboratory: replicas on a table, where the test carries every message, syncs every disk,
//! pulls every plug and forges what a liar would by hand.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use consensus_core::{
    AuthMeter, Authenticator, Batch, Canonical, ClientId, Cluster, ClusterId, Command,
    ConsensusProtocol, Delay, Durable, Effect, Effects, Env, Envelope, Incarnation, Input,
    LogIndex, Message as _, NodeId, NodeSet, Outbox, ProtocolConfig, RecordNumber, Refusal,
    RequestId, SessionId, Signer, Tag,
};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use synod_pbft::{
    Body, Config, Digest, Message, NewView, Pbft, Record, Sequence, SignedViewChange, Timer, View,
    ViewChange, Vote, invariants,
};
use synod_sim::SimKeys;

pub(crate) const CLUSTER: ClusterId = ClusterId(1);
const SEED: u64 = 11;

pub(crate) fn keys_of(signer: Signer) -> SimKeys {
    SimKeys::new(SEED, signer)
}

fn keys(id: usize) -> SimKeys {
    keys_of(Signer::Node(NodeId(id as u8)))
}

/// A batch of one signed request that says this. Clients are told apart by their request.
pub(crate) fn batch(text: &str) -> Batch {
    Batch::of(&[signed(text)])
}

pub(crate) fn signed(text: &str) -> Command {
    let client = ClientId(text.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte)));
    let payload = Bytes::copy_from_slice(text.as_bytes());
    let (session, request) = (SessionId(1), RequestId(1));
    let mut command = Command { client, session, request, payload, tag: Tag::none() };
    command.tag = keys_of(Signer::Client(client)).sign(&command.signed_bytes(CLUSTER));
    command
}

pub(crate) fn vote(view: u64, sequence: u64, batch: &Batch) -> Vote {
    Vote { view: View(view), sequence: LogIndex(sequence), digest: Digest::of(CLUSTER, batch) }
}

/// Signs as any replica, so also as a liar: written a second time from the paper's tuples.
pub(crate) fn said(by: usize, body: Body) -> Message {
    let me = by as u64;
    let phase = |domain, vote: &Vote| {
        Canonical::new(CLUSTER, domain)
            .number(vote.view.0)
            .number(vote.sequence.0)
            .bytes(&vote.digest.0)
            .number(me)
            .finish()
    };
    let bytes = match &body {
        Body::Request { .. } => return Message { body, tag: Tag::none(), repeat: false },
        Body::PrePrepare { vote, .. } => phase("pbft pre-prepare", vote),
        Body::Prepare(vote) => phase("pbft prepare", vote),
        Body::Commit(vote) => phase("pbft commit", vote),
        Body::Checkpoint { sequence, history } => Canonical::new(CLUSTER, "pbft checkpoint")
            .number(sequence.0)
            .bytes(&history.0)
            .number(me)
            .finish(),
        Body::ViewChange(view_change) => view_change_bytes(view_change),
        Body::NewView(new_view) => {
            let mut fields = Canonical::new(CLUSTER, "pbft new-view")
                .number(new_view.view.0)
                .number(new_view.base.0)
                .number(me);
            for signed in &new_view.view_changes {
                fields = fields.bytes(&view_change_bytes(&signed.view_change));
            }
            for carried in &new_view.carried {
                fields = fields.bytes(&carried.digest.0);
            }
            fields.finish()
        }
        Body::Fetch { view, from } => {
            Canonical::new(CLUSTER, "pbft fetch").number(view.0).number(from.0).number(me).finish()
        }
        Body::Fetched { decided } => {
            let mut fields = Canonical::new(CLUSTER, "pbft fetched").number(me);
            for one in decided {
                let Vote { view, sequence, digest } = one.certificate.vote;
                fields = fields.number(view.0).number(sequence.0).bytes(&digest.0);
            }
            fields.finish()
        }
    };
    Message { body, tag: keys(by).sign(&bytes), repeat: false }
}

fn view_change_bytes(view_change: &ViewChange) -> Vec<u8> {
    let mut fields = Canonical::new(CLUSTER, "pbft view-change")
        .number(view_change.view.0)
        .number(u64::from(view_change.replica.0));
    fields = match &view_change.stable {
        None => fields.number(0),
        Some(stable) => fields.number(stable.sequence.0).bytes(&stable.history.0),
    };
    for prepared in &view_change.prepared {
        let Vote { view, sequence, digest } = prepared.vote;
        fields = fields.number(view.0).number(sequence.0).bytes(&digest.0);
    }
    fields.finish()
}

/// A replica with its disk and what it wants.
pub(crate) struct Node {
    replica: Option<Pbft>,
    effects: Effects<Pbft>,
    outbox: Outbox<Message>,
    pub(crate) disk: Vec<Record>,
    incarnation: Incarnation,
    pub(crate) timers: BTreeMap<Timer, Delay>,
    pub(crate) committed: Vec<Batch>,
    pub(crate) refused: Vec<(Batch, Refusal)>,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flying {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message,
}

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) config: Config,
    pub(crate) nodes: Vec<Node>,
    pub(crate) flying: Vec<Flying>,
    /// Nobody hears them, and they hear nobody.
    pub(crate) cut: BTreeSet<usize>,
    /// Their disks wait for [`Lab::sync`]; all others are done at once.
    pub(crate) slow: BTreeSet<usize>,
}

impl Lab {
    pub(crate) fn new(size: usize) -> Self {
        let config = Config::for_cluster(&Cluster::new(CLUSTER, size)).expect("a cluster");
        Self::with(config)
    }

    /// A checkpoint at every second number, and four numbers above it.
    pub(crate) fn with_small_window(size: usize) -> Self {
        let config = Config::for_cluster(&Cluster::new(CLUSTER, size)).expect("a cluster");
        Self::with(Config { checkpoint_interval: 2, window: 4, ..config })
    }

    /// Whoever lags is shown one decision at a time.
    pub(crate) fn with_small_pages(size: usize) -> Self {
        let config = Config::for_cluster(&Cluster::new(CLUSTER, size)).expect("a cluster");
        Self::with(Config { max_fetched_bytes: 1, ..config })
    }

    /// A small window, and room for a few requests that wait.
    pub(crate) fn with_little_room(size: usize) -> Self {
        let config = Config::for_cluster(&Cluster::new(CLUSTER, size)).expect("a cluster");
        let config = Config { max_pending_bytes: 700, ..config };
        Self::with(Config { checkpoint_interval: 2, window: 4, ..config })
    }

    /// A checkpoint after so many bytes.
    pub(crate) fn with_checkpoints_after(size: usize, checkpoint_bytes: usize) -> Self {
        let config = Config::for_cluster(&Cluster::new(CLUSTER, size)).expect("a cluster");
        Self::with(Config { checkpoint_bytes, ..config })
    }

    fn with(config: Config) -> Self {
        let cluster = Cluster::new(CLUSTER, config.nodes);
        let (flying, nodes) = (Vec::new(), Vec::new());
        let (cut, slow) = (BTreeSet::new(), BTreeSet::new());
        let mut lab = Self { cluster, config, nodes, flying, cut, slow };
        for id in 0..lab.cluster.size {
            lab.nodes.push(Node {
                replica: None,
                effects: Effects::after_recovery(0),
                outbox: Outbox::after_recovery(0, Pbft::INFO.links),
                disk: Vec::new(),
                incarnation: Incarnation(0),
                timers: BTreeMap::new(),
                committed: Vec::new(),
                refused: Vec::new(),
            });
            lab.restart(id);
        }
        lab
    }

    /// Pulls the plug. Of the writes that were not synced the first `kept` reach the disk.
    pub(crate) fn crash(&mut self, id: usize, kept: usize) {
        let node = &mut self.nodes[id];
        node.replica = None;
        let synced = node.outbox.durable_upto().0 as usize;
        node.disk.truncate((synced + kept).min(node.disk.len()));
    }

    pub(crate) fn restart(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        node.incarnation.0 += 1;
        let records = node.disk.clone();
        node.effects = Effects::after_recovery(records.len());
        node.outbox = Outbox::after_recovery(records.len(), Pbft::INFO.links);
        node.timers.clear();
        node.committed.clear();
        let durable = Durable::of(node.incarnation, records);
        let recovered = Pbft::recover(NodeId(id as u8), self.config.clone(), durable);
        node.replica = Some(recovered.expect("what it wrote it can read"));
        self.give(id, Input::Start);
    }

    /// One input, and no `Drained` after it.
    pub(crate) fn give(&mut self, id: usize, input: Input<Pbft>) {
        let (keys, meter) = (keys(id), AuthMeter::default());
        let env = Env::new(Duration::ZERO, &self.cluster, &keys, &meter);
        let node = &mut self.nodes[id];
        let Some(replica) = &mut node.replica else { return };
        let before = replica.clone();
        replica.step(input, &env, &mut node.effects);
        assert_eq!(node.effects.halted(), None);
        invariants::check_step(&before, replica).expect("invariants hold");
        for effect in node.effects.drain().collect::<Vec<_>>() {
            let node = &mut self.nodes[id];
            match effect {
                Effect::Write { number, record, .. } => {
                    node.disk.push(record);
                    assert_eq!(node.disk.len() as u64, number.0, "one write stream");
                }
                Effect::Send { to, message, after } => {
                    assert!(!to.contains(NodeId(id as u8)), "nobody writes to himself");
                    let now = node.outbox.offer(to, &message, after);
                    self.fly(id, now, &message);
                }
                Effect::SetTimer { timer, delay } => {
                    node.timers.insert(timer, delay);
                }
                Effect::CancelTimer { timer } => {
                    node.timers.remove(&timer);
                }
                Effect::Commit { index, batch } => {
                    node.committed.push(batch);
                    assert_eq!(index, LogIndex(node.committed.len() as u64), "no gap");
                }
                Effect::Refuse { batch, why } => node.refused.push((batch, why)),
                _ => {}
            }
        }
        self.rehearse(id);
        if !self.slow.contains(&id) {
            self.sync(id);
        }
    }

    /// After every step: what would a restart remember, if everything written came to the disk?
    fn rehearse(&self, id: usize) {
        let node = &self.nodes[id];
        let durable = Durable::of(Incarnation(node.incarnation.0 + 1), node.disk.clone());
        let recovered = Pbft::recover(NodeId(id as u8), self.config.clone(), durable);
        let recovered = recovered.expect("what it wrote it can read");
        let remembered = invariants::check_recovered(self.replica(id), &recovered);
        remembered.unwrap_or_else(|broken| panic!("replica {id}: {broken}"));
    }

    fn fly(&mut self, from: usize, to: NodeSet, message: &Message) {
        let heard = to.iter().map(NodeId::index).filter(|to| !self.cut.contains(to));
        if !self.cut.contains(&from) {
            let flights = heard.map(|to| Flying { from, to, message: message.clone() });
            self.flying.extend(flights.collect::<Vec<_>>());
        }
    }

    /// The disk has everything that was written.
    pub(crate) fn sync(&mut self, id: usize) {
        let upto = RecordNumber(self.nodes[id].disk.len() as u64);
        if self.nodes[id].outbox.durable_upto() == upto {
            return;
        }
        for (to, message) in self.nodes[id].outbox.durable(upto) {
            self.fly(id, to, &message);
        }
        self.give(id, Input::Durable(upto));
        self.give(id, Input::Drained);
    }

    pub(crate) fn propose(&mut self, id: usize, text: &str) {
        self.give(id, Input::Propose(batch(text)));
        self.give(id, Input::Drained);
    }

    /// Fires a timer that is set.
    pub(crate) fn fire(&mut self, id: usize, timer: Timer) {
        assert!(self.nodes[id].timers.remove(&timer).is_some(), "{timer:?} is not set at {id}");
        self.give(id, Input::Timer(timer));
        self.give(id, Input::Drained);
    }

    /// Takes a message of a kind off the table, the oldest first.
    pub(crate) fn take(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let wanted = |flying: &Flying| {
            flying.from == from && flying.to == to && flying.message.kind().name == kind
        };
        let at = self.flying.iter().position(wanted);
        let at = at.unwrap_or_else(|| panic!("no {kind} from {from} to {to}: {:?}", self.flying));
        self.flying.remove(at).message
    }

    /// Carries a message of a kind.
    pub(crate) fn carry(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let message = self.take(from, to, kind);
        self.hand(from, to, message.clone());
        message
    }

    /// Carries those of a kind that fly now; what they cause stays on the table.
    pub(crate) fn carry_kind(&mut self, kind: &str) {
        let now = std::mem::take(&mut self.flying).into_iter();
        let (carried, left) = now.partition(|flying| flying.message.kind().name == kind);
        self.flying = left;
        for Flying { from, to, message } in carried {
            self.hand(from, to, message);
        }
    }

    /// Hands a message over, whether it was sent or not.
    pub(crate) fn hand(&mut self, from: usize, to: usize, message: Message) {
        let what = format!("{message:?}");
        let handed = self.try_hand(from, to, message);
        handed.unwrap_or_else(|why| panic!("{why}: {what}"));
    }

    /// Hands a message over, or says why it is not let in.
    pub(crate) fn try_hand(
        &mut self,
        from: usize,
        to: usize,
        message: Message,
    ) -> Result<(), &'static str> {
        let (keys, meter) = (keys(to), AuthMeter::default());
        let env = Env::new(Duration::ZERO, &self.cluster, &keys, &meter);
        let envelope = Envelope { from: NodeId(from as u8), message };
        let verified = Pbft::verify(envelope, &env).map_err(|rejected| rejected.0)?;
        self.give(to, Input::Message(verified));
        self.give(to, Input::Drained);
        Ok(())
    }

    /// Carries whatever flies, oldest first, until nothing does.
    pub(crate) fn carry_all(&mut self) {
        let mut carried = 0;
        while !self.flying.is_empty() {
            let Flying { from, to, message } = self.flying.remove(0);
            self.hand(from, to, message);
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// How many messages of a kind fly.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.count_from(kind, |_| true)
    }

    /// How many of them from such replicas.
    pub(crate) fn count_from(&self, kind: &str, from: impl Fn(usize) -> bool) -> usize {
        let counted = |it: &&Flying| it.message.kind().name == kind && from(it.from);
        self.flying.iter().filter(counted).count()
    }

    /// Lies under a replica's own key: what contradicts this message.
    pub(crate) fn equivocate(&self, by: usize, message: &Message) -> Message {
        let (keys, meter) = (keys(by), AuthMeter::default());
        let env = Env::new(Duration::ZERO, &self.cluster, &keys, &meter);
        <Pbft as consensus_core::Audit>::equivocate(message, &env).expect("it can be contradicted")
    }

    pub(crate) fn replica(&self, id: usize) -> &Pbft {
        self.nodes[id].replica.as_ref().expect("it runs")
    }

    pub(crate) fn view(&self, id: usize) -> u64 {
        self.replica(id).status().epoch
    }

    pub(crate) fn committed(&self, id: usize) -> &[Batch] {
        &self.nodes[id].committed
    }

    /// What a laggard does when time passes without news.
    pub(crate) fn ask_around(&mut self, id: usize) {
        for _ in 0..8 {
            self.fire(id, Timer::Repeat);
        }
    }
}

/// A replica asks for a view and proves nothing.
pub(crate) fn bare_view_change(by: usize, view: u64) -> Message {
    let (replica, prepared) = (NodeId(by as u8), Vec::new());
    said(by, Body::ViewChange(ViewChange { view: View(view), replica, stable: None, prepared }))
}

pub(crate) fn sequence(number: u64) -> Sequence {
    LogIndex(number)
}

/// Everybody runs, so everybody executes it.
pub(crate) fn decide(lab: &mut Lab, text: &str) {
    lab.propose(0, text);
    lab.carry_all();
}

/// A pre-prepare as this replica would sign it.
pub(crate) fn pre_prepare(view: u64, number: u64, by: usize, batch: &Batch) -> Message {
    let vote = vote(view, number, batch);
    said(by, Body::PrePrepare { vote, batch: batch.clone() })
}

/// What a view-change says, with its signature.
pub(crate) fn view_change_of(message: &Message) -> SignedViewChange {
    let Body::ViewChange(view_change) = message.body.clone() else { panic!("{message:?}") };
    SignedViewChange { view_change, tag: message.tag.clone() }
}

/// What a new-view says.
pub(crate) fn new_view_of(message: &Message) -> &NewView {
    let Body::NewView(new_view) = &message.body else { panic!("{message:?}") };
    new_view
}

/// Replica 0 is gone after number 2 prepared at the others and number 1 did not; the rest asks for
/// view 1.
pub(crate) fn a_view_change_with_a_gap() -> Lab {
    let mut lab = Lab::new(4);
    lab.propose(0, "lost");
    lab.flying.clear();
    lab.propose(0, "prepared");
    lab.carry_kind("pre-prepare");
    lab.carry_kind("prepare");
    assert_eq!(lab.count("commit"), 12);
    lab.flying.clear();
    lab.cut.insert(0);
    for id in [1, 2, 3] {
        lab.fire(id, Timer::View);
    }
    lab.carry_kind("view-change");
    lab
}
