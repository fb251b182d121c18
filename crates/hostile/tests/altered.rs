//! Words of correct replicas, altered on the way: of what PBFT's replicas say there is no byte that
//! can be changed without `verify` noticing (Castro & Liskov, OSDI '99, §2: "we assume that
//! adversaries cannot forge a correct replica's signature"). What a sender does not sign itself
//! stands under the signatures of others, or of a client.

use consensus_core::{
    AuthMeter, Authenticator, Batch, ClientId, Cluster, ClusterId, Command, ConsensusProtocol,
    Durable, Effect, Effects, Env, Envelope, Incarnation, Input, Message as _, NodeId,
    ProtocolConfig, RecordNumber, RequestId, SessionId, Signer, Tag,
};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use synod_pbft::{Message, Pbft, Timer};
use synod_runtime::codec;
use synod_sim::SimKeys;

const NODES: usize = 4;

/// A cluster whose disks sync at once. What `lost` says of a message is its loss.
struct Cast {
    cluster: Cluster,
    meter: AuthMeter,
    replicas: Vec<(Pbft, Effects<Pbft>)>,
    under_way: VecDeque<(NodeId, NodeId, Message)>,
    /// Everything that was said, by kind.
    said: BTreeMap<&'static str, Vec<Envelope<Message>>>,
    lost: fn(NodeId, NodeId, &Message) -> bool,
}

fn node(number: usize) -> NodeId {
    NodeId(number as u8)
}

fn request(number: u64) -> Batch {
    let (client, session, request) = (ClientId(5), SessionId(1 << 16), RequestId(number));
    let payload = vec![number as u8; 12].into();
    let mut command = Command { client, session, request, payload, tag: Tag::none() };
    let keys = SimKeys::new(1, Signer::Client(client));
    command.tag = keys.sign(&command.signed_bytes(ClusterId(9)));
    Batch::of(&[command])
}

impl Cast {
    fn new() -> Self {
        let cluster = Cluster::new(ClusterId(9), NODES);
        let config = <Pbft as ConsensusProtocol>::Config::smallest(&cluster).expect("four");
        let replica = |id| {
            let empty = Durable::of(Incarnation(1), Vec::new());
            let replica = Pbft::recover(node(id), config.clone(), empty).expect("a new disk");
            (replica, Effects::after_recovery(0))
        };
        let replicas = (0..NODES).map(replica).collect();
        let (meter, under_way, said) = Default::default();
        let mut cast = Self { cluster, meter, replicas, under_way, said, lost: |_, _, _| false };
        (0..NODES).for_each(|id| cast.step(id, Input::Start));
        cast
    }

    fn step(&mut self, id: usize, input: Input<Pbft>) {
        let mut inputs = VecDeque::from([input, Input::Drained]);
        while let Some(input) = inputs.pop_front() {
            let keys = SimKeys::new(1, Signer::Node(node(id)));
            let env = Env::new(Duration::ZERO, &self.cluster, &keys, &self.meter);
            let (replica, effects) = &mut self.replicas[id];
            replica.step(input, &env, effects);
            assert_eq!(effects.halted(), None, "n{id}");
            let mut written = RecordNumber::ZERO;
            for effect in effects.drain() {
                match effect {
                    Effect::Write { number, .. } => written = number,
                    Effect::Send { to, message, .. } => {
                        let from = node(id);
                        let kind = self.said.entry(message.kind().name).or_default();
                        kind.push(Envelope { from, message: message.clone() });
                        self.under_way.extend(to.iter().map(|to| (from, to, message.clone())));
                    }
                    _ => {}
                }
            }
            if written > RecordNumber::ZERO {
                inputs.push_back(Input::Durable(written));
            }
        }
    }

    fn verified(&self, to: usize, envelope: Envelope<Message>) -> Option<Input<Pbft>> {
        let keys = SimKeys::new(1, Signer::Node(node(to)));
        let env = Env::new(Duration::ZERO, &self.cluster, &keys, &self.meter);
        Pbft::verify(envelope, &env).ok().map(Input::Message)
    }

    fn carry_all(&mut self) {
        while let Some((from, to, message)) = self.under_way.pop_front() {
            if (self.lost)(from, to, &message) {
                continue;
            }
            let input = self.verified(to.index(), Envelope { from, message });
            self.step(to.index(), input.expect("an honest word is let in"));
        }
    }

    /// Requests, checkpoints, a number that prepares and is not decided, a view change, and a
    /// replica that was away and is brought back: all kinds of words but repeated ones.
    fn play(mut self) -> BTreeMap<&'static str, Vec<Envelope<Message>>> {
        for number in 1..=3 {
            self.step(0, Input::Propose(request(number)));
            self.carry_all();
        }
        self.lost = |from, _, message| {
            from == node(0) && message.kind().name != "pre-prepare"
                || message.kind().name == "commit"
        };
        self.step(0, Input::Propose(request(4)));
        self.carry_all();
        self.lost = |from, to, _| from == node(0) || to == node(0);
        self.step(1, Input::Propose(request(5)));
        (1..NODES).for_each(|id| self.step(id, Input::Timer(Timer::View)));
        self.carry_all();
        self.lost = |_, _, _| false;
        for _ in 0..16 {
            (0..NODES).for_each(|id| self.step(id, Input::Timer(Timer::Repeat)));
            self.carry_all();
        }
        let executed: Vec<u64> =
            self.replicas.iter().map(|(replica, _)| replica.status().committed.0).collect();
        assert!(executed.iter().all(|upto| *upto >= 4), "all go on: {executed:?}");
        self.said
    }
}

/// Is this the same word, but for the flag that nobody signs?
fn is_same(one: &Message, other: &Message) -> bool {
    Message { repeat: one.repeat, ..other.clone() } == *one
}

/// §2 and §4: every statement is signed whole, by who makes it.
#[test]
fn no_byte_of_a_correct_replicas_word_can_be_altered() {
    let judge = Cast::new();
    let said = Cast::new().play();
    for kind in ["request", "pre-prepare", "prepare", "commit", "checkpoint", "view-change"] {
        assert!(said.contains_key(kind), "{kind} is said");
    }
    assert!(["new-view", "fetch", "fetched"].iter().all(|kind| said.contains_key(kind)));
    let mut tried = 0;
    for (kind, words) in said {
        // The longest carries most: certificates, checkpoints, several decisions.
        let longest = words.iter().max_by_key(|word| codec::encoded_len(&word.message));
        for Envelope { from, message } in words.iter().take(1).chain(longest) {
            let bytes = codec::encode(message).to_vec();
            for (place, flip) in (0..bytes.len()).flat_map(|place| [(place, 1), (place, 0x40)]) {
                let mut altered = bytes.clone();
                altered[place] ^= flip;
                let Ok(altered) = codec::decode::<Message>(&altered) else { continue };
                if is_same(message, &altered) {
                    continue;
                }
                tried += 1;
                let word = Envelope { from: *from, message: altered };
                let let_in = judge.verified(3 - from.index(), word.clone()).is_some();
                assert!(!let_in, "byte {place} of a {kind} of {from} is altered:\n{word:?}");
            }
        }
    }
    assert!(tried > 5_000, "{tried}");
}
