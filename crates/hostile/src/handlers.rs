//! Every message handler, with a peer that says anything at all.
//!
//! The bytes are a script for a whole cluster: deliver this message, fire that timer, propose,
//! sync, crash. One replica is the *liar*. It runs the honest code, but what it says is altered on
//! its way out, contradicted, or made up from nothing, with its own key ([`LiarsKeys`]). So the
//! others are hit in the middle of elections, view changes, repairs and changes of members, and not
//! only when they are fresh. Snapshots are taken, lost, lied about and installed.
//!
//! What must hold of all others: no panic, no halt (a halt is for what *we* did wrong), no disk
//! from which a replica does not recover, memory in proportion to what came; and with Byzantine
//! faults, agreement.

use crate::actor::Actor;
use crate::feed::Feed;
use crate::generate::generate;
use crate::mutate::scramble;
use bytes::Bytes;
use consensus_core::{
    Audit, AuthMeter, Authenticator, Batch, Change, ClientId, Cluster, ClusterId, Command, Durable,
    Effect, Effects, Env, Envelope, FaultModel, Incarnation, Input, LogIndex, Message, NodeId,
    NodeSet, ProtocolConfig, Read, ReadMode, RequestId, SessionId, Signer, SnapshotMessage, Tag,
};
use core::time::Duration;
use std::collections::BTreeMap;
use synod_runtime::codec;
use synod_sim::SimKeys;

/// Actions of one script.
const MOST_ACTIONS: usize = 600;
/// Messages that are under way at most; beyond, the network loses them.
const MOST_UNDER_WAY: usize = 2_000;
/// A step that wants more is a loop over a hostile number.
const MOST_EFFECTS: usize = 20_000;

/// The keys of a world in which one replica and one client sign whatever they like: their tags
/// are always right, everybody else's only if they made them.
#[derive(Clone, Copy, Debug)]
pub struct LiarsKeys {
    keys: SimKeys,
    liar: NodeId,
}

/// The client that is in league with the liar.
const ACCOMPLICE: ClientId = ClientId(1);

impl LiarsKeys {
    /// The keys of this signer.
    pub fn new(own: Signer, liar: NodeId) -> Self {
        Self { keys: SimKeys::new(1, own), liar }
    }
}

impl Authenticator for LiarsKeys {
    fn sign(&self, bytes: &[u8]) -> Tag {
        self.keys.sign(bytes)
    }

    fn check(&self, signer: Signer, bytes: &[u8], tag: &Tag) -> bool {
        signer == Signer::Node(self.liar)
            || signer == Signer::Client(ACCOMPLICE)
            || self.keys.check(signer, bytes, tag)
    }
}

struct Hall<P: Audit> {
    cluster: Cluster,
    config: P::Config,
    /// Settings and cluster of who may join.
    joining: (P::Config, Cluster),
    liar: NodeId,
    meter: AuthMeter,
    now: Duration,
    replicas: Vec<Actor<P>>,
    /// Sender, receiver, message.
    under_way: Vec<(NodeId, NodeId, P::Message)>,
    decided: BTreeMap<LogIndex, Batch>,
    taken: usize,
}

/// Plays a script for this protocol.
///
/// # Panics
/// If a rule is broken: that is what the rig is for.
pub fn play<P: Audit>(script: &[u8]) {
    let mut feed = Feed::new(script);
    let mut hall = Hall::<P>::open(&mut feed);
    for _ in 0..MOST_ACTIONS {
        if feed.is_empty() {
            break;
        }
        hall.act(&mut feed);
    }
    hall.close(script.len());
}

impl<P: Audit> Hall<P> {
    fn open(feed: &mut Feed<'_>) -> Self {
        let sizes = if P::INFO.faults == FaultModel::Byzantine { [4, 7] } else { [3, 5] };
        let voters = sizes[usize::from(feed.chance(40))];
        let joiners = usize::from(P::INFO.faults == FaultModel::Crash && feed.chance(100));
        let mut cluster = Cluster::new(ClusterId(9), voters + joiners);
        let liar = NodeId(feed.below(cluster.size) as u8);
        let small = feed.chance(100);
        let mut configure = |votes: NodeSet| {
            cluster.voters = votes;
            let config = if small {
                P::Config::smallest(&cluster)
            } else {
                P::Config::for_cluster(&cluster)
            };
            config.expect("the algorithm runs in this cluster")
        };
        let joining = configure(NodeSet::EMPTY);
        let config = configure(NodeSet::first(voters));
        let first = |id| {
            let votes = cluster.voters.contains(id);
            Actor::first(id, if votes { &config } else { &joining })
        };
        let replicas = cluster.nodes().iter().map(first).collect();
        let mut hall = Self {
            cluster: cluster.clone(),
            config,
            joining: (joining, Cluster { voters: NodeSet::EMPTY, ..cluster.clone() }),
            liar,
            now: Duration::from_secs(1),
            meter: AuthMeter::default(),
            replicas,
            under_way: Vec::new(),
            decided: BTreeMap::new(),
            taken: 0,
        };
        for id in hall.cluster.nodes().iter() {
            hall.step(id, Input::Start);
        }
        if feed.chance(200) {
            let first = hall.someone(feed);
            hall.step(first, Input::Campaign);
            hall.settle();
        }
        hall
    }

    fn someone(&self, feed: &mut Feed<'_>) -> NodeId {
        NodeId(feed.below(self.cluster.size) as u8)
    }

    fn act(&mut self, feed: &mut Feed<'_>) {
        self.now += Duration::from_millis(u64::from(feed.byte()));
        match feed.byte() {
            0..64 => self.deliver(feed),
            64..84 => self.settle(),
            84..102 => self.fire(feed),
            102..112 => self.propose(feed),
            112..122 => {
                let id = self.someone(feed);
                self.sync(id);
            }
            122..126 => {
                let id = self.someone(feed);
                self.step(id, Input::Campaign);
            }
            126..142 => self.wish(feed),
            142..150 => self.crash(feed),
            150..200 => self.alter(feed),
            200..235 => self.make_up(feed),
            _ => self.contradict(feed),
        }
    }

    fn hints(&self, feed: &mut Feed<'_>) {
        feed.hints = self.replicas.iter().map(|one| one.protocol.status()).fold(
            Vec::new(),
            |mut hints, status| {
                hints.extend([status.epoch, status.committed.0, status.last.0]);
                hints
            },
        );
    }

    /// Steps a replica and does what it wants done.
    fn step(&mut self, id: NodeId, input: Input<P>) {
        let keys = LiarsKeys::new(Signer::Node(id), self.liar);
        let votes = self.cluster.voters.contains(id);
        let cluster = if votes { &self.cluster } else { &self.joining.1 };
        let env = Env::new(self.now, cluster, &keys, &self.meter);
        let one = &mut self.replicas[id.index()];
        one.protocol.step(input, &env, &mut one.effects);
        one.protocol.step(Input::Drained, &env, &mut one.effects);
        if let Some(why) = one.effects.halted() {
            assert!(id == self.liar, "{id} halts for what {} said: {why}", self.liar);
            // Whoever is lied about may lie down; it comes back from its disk.
            self.restart(id, usize::MAX, true);
            return;
        }
        assert!(one.is_in_order(), "{id} has forgotten what no snapshot holds");
        let effects: Vec<_> = one.effects.drain().collect();
        assert!(effects.len() < MOST_EFFECTS, "{id} wants {} things at once", effects.len());
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect<P>) {
        let one = &mut self.replicas[id.index()];
        match effect {
            Effect::Write { number, record, .. } => one.record(number, record),
            Effect::Compact { number, records } => one.compact(number, records),
            Effect::Send { to, message, after } => {
                let now = one.outbox.offer(to, &message, after);
                self.post(id, now, &message);
            }
            Effect::SetTimer { timer, .. } => {
                one.timers.insert(timer);
            }
            Effect::CancelTimer { timer } => {
                one.timers.remove(&timer);
            }
            Effect::Fetch { from } => {
                let ask = one.ask();
                self.say_of_snapshots(id, from, ask);
            }
            Effect::Snapshot { from, message } => {
                if let Some(answer) = one.serve(*message) {
                    self.say_of_snapshots(id, from, answer);
                }
            }
            Effect::Members { membership, .. } => one.members = Some(membership),
            Effect::Commit { index, batch } => {
                assert_eq!(index, one.applied.next(), "{id} commits without gap");
                one.applied = index;
                if id == self.liar || P::INFO.faults == FaultModel::Crash {
                    return;
                }
                let first = self.decided.entry(index).or_insert_with(|| batch.clone());
                assert_eq!(*first, batch, "{id} decides something else at {index}");
            }
            Effect::Refuse { .. }
            | Effect::Ready { .. }
            | Effect::RefuseRead { .. }
            | Effect::RefuseChange { .. } => {}
        }
    }

    fn say_of_snapshots(&mut self, from: NodeId, to: NodeId, said: SnapshotMessage) {
        if let Some(message) = P::Message::snapshot(said) {
            self.post(from, NodeSet::only(to).without(from), &message);
        }
    }

    fn post(&mut self, from: NodeId, to: NodeSet, message: &P::Message) {
        for to in to.iter().filter(|to| self.cluster.contains(*to)) {
            if self.under_way.len() < MOST_UNDER_WAY {
                self.under_way.push((from, to, message.clone()));
            }
        }
    }

    fn hand(&mut self, from: NodeId, to: NodeId, message: P::Message) {
        if from == to {
            return;
        }
        self.taken += codec::encoded_len(&message);
        let keys = LiarsKeys::new(Signer::Node(to), self.liar);
        let env = Env::new(self.now, &self.cluster, &keys, &self.meter);
        match P::verify(Envelope { from, message }, &env) {
            Ok(message) => self.step(to, Input::Message(message)),
            // Where nobody lies, a peer that says the highest term there is may stop the cluster.
            Err(why) => assert!(
                from == self.liar || P::INFO.faults == FaultModel::Crash,
                "{to} rejects what {from} said: {why}"
            ),
        }
    }

    /// Any message that is under way arrives; or it is lost, or doubled.
    fn deliver(&mut self, feed: &mut Feed<'_>) {
        if self.under_way.is_empty() {
            return;
        }
        let at = feed.below(self.under_way.len());
        match feed.byte() {
            0..16 => {
                self.under_way.swap_remove(at);
            }
            fate => {
                let (from, to, message) =
                    if fate < 32 { self.under_way[at].clone() } else { self.under_way.remove(at) };
                self.hand(from, to, message);
            }
        }
    }

    /// A quiet time: disks sync, messages arrive in order.
    fn settle(&mut self) {
        for _ in 0..120 {
            for id in self.cluster.nodes().iter() {
                self.sync(id);
            }
            if self.under_way.is_empty() {
                return;
            }
            let (from, to, message) = self.under_way.remove(0);
            self.hand(from, to, message);
        }
    }

    fn fire(&mut self, feed: &mut Feed<'_>) {
        let id = self.someone(feed);
        let armed: Vec<_> = self.replicas[id.index()].timers.iter().copied().collect();
        if armed.is_empty() {
            return;
        }
        let timer = armed[feed.below(armed.len())];
        self.replicas[id.index()].timers.remove(&timer);
        self.step(id, Input::Timer(timer));
    }

    fn propose(&mut self, feed: &mut Feed<'_>) {
        let commands: Vec<_> = (0..feed.below(3)).map(|_| self.command(feed)).collect();
        let id = self.someone(feed);
        self.step(id, Input::Propose(Batch::of(&commands)));
    }

    fn command(&self, feed: &mut Feed<'_>) -> Command {
        let client = ClientId(u64::from(feed.byte() % 4));
        let mut command = Command {
            client,
            session: SessionId(u64::from(feed.byte() % 3)),
            request: RequestId(u64::from(feed.byte() % 5)),
            payload: Bytes::copy_from_slice(&[feed.byte()]),
            tag: Tag::none(),
        };
        if P::INFO.faults == FaultModel::Byzantine {
            let keys = SimKeys::new(1, Signer::Client(client));
            command.tag = keys.sign(&command.signed_bytes(self.cluster.id));
        }
        command
    }

    /// A disk has everything: records, and the snapshot.
    fn sync(&mut self, id: NodeId) {
        let one = &mut self.replicas[id.index()];
        if let Some(upto) = one.sync() {
            for (to, message) in one.outbox.durable(upto) {
                self.post(id, to, &message);
            }
            self.step(id, Input::Durable(upto));
        }
        match self.replicas[id.index()].keep_snapshot() {
            Some((meta, true)) => self.step(id, Input::SnapshotInstalled(meta)),
            Some((meta, false)) => self.step(id, Input::SnapshotTaken(meta)),
            None => {}
        }
    }

    /// What operators and readers may want: of anybody, and any nonsense.
    fn wish(&mut self, feed: &mut Feed<'_>) {
        let id = self.someone(feed);
        let one = &mut self.replicas[id.index()];
        match feed.byte() {
            0..80 => one.take_snapshot(),
            80..110 => {
                let to = NodeId(feed.byte() % 9);
                self.step(id, Input::Transfer(to));
            }
            110..170 => {
                one.reads += 1;
                let mode = [ReadMode::Index, ReadMode::Lease, ReadMode::Quorum][feed.below(3)];
                let read = Read { id: one.reads, mode };
                self.step(id, Input::Read(read));
            }
            170..230 => {
                let seen = one.members.clone().unwrap_or_default();
                let node = NodeId(feed.byte() % 8);
                let change = Change::of(&seen);
                let change = match feed.below(3) {
                    0 => change.remove(node),
                    1 => change.add_voter(node),
                    _ => change.add_learner(node),
                };
                self.step(id, Input::Change(change));
            }
            _ => {
                self.hints(feed);
                if let Some(change) = generate::<Change>(feed) {
                    self.step(id, Input::Change(change));
                }
            }
        }
    }

    fn crash(&mut self, feed: &mut Feed<'_>) {
        let id = self.someone(feed);
        let kept = feed.below(4);
        let file = feed.chance(128);
        self.restart(id, kept, file);
    }

    /// A restart that keeps what was synced and at most so many records more.
    fn restart(&mut self, id: NodeId, unsynced: usize, file: bool) {
        let votes = self.cluster.voters.contains(id);
        let config = if votes { &self.config } else { &self.joining.0 };
        self.replicas[id.index()].again(id, config, unsynced, file);
        self.step(id, Input::Start);
    }

    /// The place of a message of the liar, if one is under way.
    fn liars(&self, feed: &mut Feed<'_>) -> Option<usize> {
        let said = |(_, (from, _, _)): &(usize, &(NodeId, NodeId, P::Message))| *from == self.liar;
        let places: Vec<_> = self.under_way.iter().enumerate().filter(said).collect();
        (!places.is_empty()).then(|| places[feed.below(places.len())].0)
    }

    /// A message of the liar arrives with other numbers in it.
    fn alter(&mut self, feed: &mut Feed<'_>) {
        let Some(at) = self.liars(feed) else { return self.make_up(feed) };
        let (from, to, message) = self.under_way[at].clone();
        self.hints(feed);
        let encoded = scramble(&codec::encode(&message), feed);
        if let Ok(altered) = codec::decode::<P::Message>(&encoded) {
            self.hand(from, to, altered);
        }
    }

    /// A message of the liar arrives that has nothing to do with anything.
    fn make_up(&mut self, feed: &mut Feed<'_>) {
        let to = self.someone(feed);
        self.hints(feed);
        if let Some(message) = generate::<P::Message>(feed) {
            // What cannot come over the wire cannot come.
            let encoded = codec::encode(&message);
            assert_eq!(codec::decode(&encoded).as_ref(), Ok(&message), "it survives the wire");
            self.hand(self.liar, to, message);
        }
    }

    /// The liar says one thing to one, and the contrary to the others.
    fn contradict(&mut self, feed: &mut Feed<'_>) {
        let Some(at) = self.liars(feed) else { return };
        let (from, to, message) = self.under_way[at].clone();
        let keys = LiarsKeys::new(Signer::Node(from), self.liar);
        let env = Env::new(self.now, &self.cluster, &keys, &self.meter);
        if let Some(contrary) = P::equivocate(&message, &env) {
            self.hand(from, to, contrary);
        }
    }

    /// Memory is in proportion to what came.
    fn close(&self, script: usize) {
        let bound = 256 * 1024 + 64 * (self.taken + script);
        for one in &self.replicas {
            let size = format!("{:?}", one.protocol).len();
            assert!(size < bound, "{size} bytes to describe a replica that took {}", self.taken);
        }
    }
}

/// Recovers a replica from any records and any snapshot at all, and starts it: an error or a
/// replica, no panic, whatever numbers there are.
pub fn recover<P: Audit>(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    feed.hints = vec![1, 2, 3];
    let size = if P::INFO.faults == FaultModel::Byzantine { 4 } else { 3 };
    let cluster = Cluster::new(ClusterId(9), size);
    let config = P::Config::for_cluster(&cluster).expect("the algorithm runs in this cluster");
    let offers = P::Message::snapshot(SnapshotMessage::Ask { of: None, offset: 0 }).is_some();
    let snapshot = if offers && feed.chance(128) { generate(&mut feed) } else { None };
    let mut records = Vec::new();
    while !feed.is_empty() && records.len() < 64 {
        records.extend(generate::<P::Record>(&mut feed));
    }
    let count = records.len();
    for record in &records {
        let encoded = codec::encode(record);
        assert_eq!(codec::decode(&encoded).as_ref(), Ok(record), "it survives the disk");
    }
    let durable = Durable { incarnation: Incarnation(2), records, snapshot };
    let Ok(mut replica) = P::recover(NodeId(0), config, durable) else { return };
    let keys = LiarsKeys::new(Signer::Node(NodeId(0)), NodeId(1));
    let meter = AuthMeter::default();
    let env = Env::new(Duration::ZERO, &cluster, &keys, &meter);
    let mut effects = Effects::after_recovery(count);
    for input in [Input::Start, Input::Campaign, Input::Drained] {
        if effects.halted().is_none() {
            replica.step(input, &env, &mut effects);
        }
    }
}
