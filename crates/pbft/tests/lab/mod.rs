//! A laboratory: the simulator's table with PBFT on it, where the test carries every message, syncs
//! every disk, pulls every plug and forges what a liar would by hand. After every step the oracles
//! and the replica's own invariants are asked, and what a restart would remember.

use bytes::Bytes;
use consensus_core::{
    AuthMeter, Authenticator, Batch, Canonical, ClientId, Cluster, ClusterId, Command,
    ConsensusProtocol, Delay, Durable, Env, Incarnation, Input, LogIndex, Message as _, NodeId,
    NodeSet, ProtocolConfig, Refusal, RequestId, SessionId, Signer, Tag,
};
use core::time::Duration;
use synod_pbft::{
    Body, Config, Digest, Message, NewView, Pbft, Record, Sequence, SignedViewChange, Timer, View,
    ViewChange, Vote, invariants,
};
use synod_sim::{Flight, SimKeys, Table};

pub(crate) const CLUSTER: ClusterId = ClusterId(1);
/// That of a table.
const SEED: u64 = 0;

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

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
    let client = ClientId(
        text.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))),
    );
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
        Body::Fetch { view, from, stable } => Canonical::new(CLUSTER, "pbft fetch")
            .number(view.0)
            .number(from.0)
            .number(stable.0)
            .number(me)
            .finish(),
        Body::Fetched { decided, stable } => {
            let mut fields = Canonical::new(CLUSTER, "pbft fetched").number(me);
            fields = match stable {
                None => fields.number(0),
                Some(stable) => fields.number(stable.sequence.0).bytes(&stable.history.0),
            };
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

pub(crate) struct Lab {
    table: Table<Pbft>,
    pub(crate) config: Config,
    /// Nobody hears them, and they hear nobody.
    cut: NodeSet,
    /// Their disks wait for [`Lab::sync`]; all others are done at once.
    slow: NodeSet,
}

fn set(ids: impl IntoIterator<Item = usize>) -> NodeSet {
    ids.into_iter().map(|id| NodeId(id as u8)).collect()
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
        let table = Table::with(Cluster::new(CLUSTER, config.nodes), config.clone());
        Self { table, config, cut: NodeSet::EMPTY, slow: NodeSet::EMPTY }
    }

    /// From now on the oracles see nothing: for tests in which what a replica says is forged, as
    /// they believe each to say what it sent.
    pub(crate) fn without_oracles(mut self) -> Self {
        self.table.without_oracles();
        self
    }

    /// From now on nobody hears these, and they hear nobody. What flies already arrives.
    pub(crate) fn cut(&mut self, ids: impl IntoIterator<Item = usize>) {
        self.cut = set(ids);
    }

    /// From now on the disks of these, and of no others, wait for [`Lab::sync`].
    pub(crate) fn slow(&mut self, ids: impl IntoIterator<Item = usize>) {
        self.slow = set(ids);
        let instant = self.table.cluster().nodes().minus(self.slow);
        self.table.on(0, |stage, _| stage.set_instant(instant));
    }

    /// Does something to a replica. Then: what would a restart remember, if everything written came
    /// to the disk?
    fn on(&mut self, id: usize, act: impl FnOnce(&mut Table<Pbft>)) {
        let before = self.table.flying().len();
        act(&mut self.table);
        for flying in &self.table.flying()[before..] {
            if self.cut.contains(flying.from) || self.cut.contains(flying.to) {
                self.table.lose(flying);
            }
        }
        if self.table.is_up(id) {
            let durable = Durable::of(Incarnation(u32::MAX), self.table.disk(id).to_vec());
            let recovered = Pbft::recover(NodeId(id as u8), self.config.clone(), durable);
            let recovered = recovered.expect("what it wrote it can read");
            let remembered = invariants::check_recovered(self.replica(id), &recovered);
            remembered.unwrap_or_else(|broken| panic!("replica {id}: {broken}"));
        }
    }

    /// Pulls the plug. Of the writes that were not synced the first `kept` reach the disk.
    pub(crate) fn crash(&mut self, id: usize, kept: usize) {
        self.table.crash(id, kept);
    }

    pub(crate) fn restart(&mut self, id: usize) {
        self.on(id, |table| table.restart(id));
    }

    /// One input, and no `Drained` after it.
    pub(crate) fn give(&mut self, id: usize, input: Input<Pbft>) {
        self.on(id, |table| table.give(id, input));
        if !self.slow.contains(NodeId(id as u8)) {
            self.sync(id);
        }
    }

    /// The disk has everything that was written.
    pub(crate) fn sync(&mut self, id: usize) {
        self.on(id, |table| table.sync(id));
    }

    pub(crate) fn propose(&mut self, id: usize, text: &str) {
        self.on(id, |table| table.on(id, |stage, id| stage.propose(id, batch(text))));
    }

    /// Fires a timer that is set.
    pub(crate) fn fire(&mut self, id: usize, timer: Timer) {
        self.on(id, |table| table.fire(id, timer));
    }

    /// How long a timer runs, if it is set.
    pub(crate) fn timer(&self, id: usize, timer: Timer) -> Option<Delay> {
        self.table.timer(id, timer)
    }

    /// What flies, oldest first.
    pub(crate) fn flying(&self) -> Vec<Flying> {
        self.table.flying()
    }

    /// Throws away whatever flies.
    pub(crate) fn lose_all(&mut self) {
        self.table.lose_all();
    }

    /// Throws away what flies, but for this.
    pub(crate) fn keep(&mut self, kept: impl Fn(&Flying) -> bool) {
        self.table.keep(kept);
    }

    /// Takes a message of a kind off the table, the oldest first.
    pub(crate) fn take(&mut self, from: usize, to: usize, kind: &str) -> Message {
        self.table.take(from, to, kind)
    }

    /// Carries a message of a kind.
    pub(crate) fn carry(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let message = self.take(from, to, kind);
        self.hand(from, to, message.clone());
        message
    }

    fn deliver(&mut self, flying: &Flying) {
        self.table.lose(flying);
        let message = Message::clone(&flying.message);
        self.hand(flying.from.index(), flying.to.index(), message);
    }

    /// Carries those of a kind that fly now; what they cause stays on the table.
    pub(crate) fn carry_kind(&mut self, kind: &str) {
        let now = self.flying();
        let carried = now.iter().filter(|flying| flying.message.kind().name == kind);
        carried.for_each(|flying| self.deliver(flying));
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
        let mut handed = Ok(());
        let from = NodeId(from as u8);
        self.on(to, |table| table.on(to, |stage, to| handed = stage.hand(from, to, message)));
        handed.map_err(|rejected| rejected.0)
    }

    /// Carries whatever flies, oldest first, until nothing does.
    pub(crate) fn carry_all(&mut self) {
        let mut carried = 0;
        while let Some(oldest) = self.flying().first() {
            self.deliver(oldest);
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// How many messages of a kind fly.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.table.count(kind)
    }

    /// How many of them from such replicas.
    pub(crate) fn count_from(&self, kind: &str, from: impl Fn(usize) -> bool) -> usize {
        let counted = |it: &&Flying| it.message.kind().name == kind && from(it.from.index());
        self.flying().iter().filter(counted).count()
    }

    /// Lies under a replica's own key: what contradicts this message.
    pub(crate) fn equivocate(&self, by: usize, message: &Message) -> Message {
        let (keys, meter) = (keys(by), AuthMeter::default());
        let env = Env::new(Duration::ZERO, self.table.cluster(), &keys, &meter);
        <Pbft as consensus_core::Audit>::equivocate(message, &env).expect("it can be contradicted")
    }

    pub(crate) fn replica(&self, id: usize) -> &Pbft {
        self.table.replica(id)
    }

    pub(crate) fn view(&self, id: usize) -> u64 {
        self.replica(id).status().epoch
    }

    pub(crate) fn committed(&self, id: usize) -> &[Batch] {
        self.table.committed(id)
    }

    /// What it would not take, and why.
    pub(crate) fn refused(&self, id: usize) -> &[(Batch, Refusal)] {
        self.table.stage().refused(NodeId(id as u8))
    }

    /// What it wrote.
    pub(crate) fn disk(&self, id: usize) -> &[Record] {
        self.table.disk(id)
    }

    /// What a laggard does when time passes without news. The others, too, have a tick in it.
    pub(crate) fn ask_around(&mut self, id: usize) {
        for other in (0..self.config.nodes).filter(|other| *other != id) {
            if self.table.is_up(other) {
                self.fire(other, Timer::Repeat);
            }
        }
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
    lab.lose_all();
    lab.propose(0, "prepared");
    lab.carry_kind("pre-prepare");
    lab.carry_kind("prepare");
    assert_eq!(lab.count("commit"), 12);
    lab.lose_all();
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.fire(id, Timer::View);
    }
    lab.carry_kind("view-change");
    lab
}
