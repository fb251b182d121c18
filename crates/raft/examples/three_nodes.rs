//! Three Raft servers in one process, with nothing but this crate and `consensus-core`. The loop
//! below is a whole driver: disk, network, clock and service are a few lines each.

use consensus_core::{
    AuthMeter, Batch, ClientId, Cluster, ClusterId, Command, ConsensusProtocol, Durable, Effect,
    Effects, Env, Envelope, Incarnation, Input, Links, LogIndex, NoKeys, NodeId, Outbox,
    ProtocolConfig, RequestId, Role, SessionId, Tag,
};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use synod_raft::{Config, Raft, Timer};

fn main() {
    let cluster = Cluster::new(ClusterId(7), 3);
    let (keys, meter) = (NoKeys, AuthMeter::default());
    let (mut now, mut inputs) = (Duration::ZERO, VecDeque::new());
    let mut timers: BTreeMap<(NodeId, Timer), Duration> = BTreeMap::new();
    let mut commands = ["first", "second", "third"].into_iter();
    let mut nodes: Vec<_> = (0..3)
        .map(|id| {
            let config = Config::for_cluster(&cluster).expect("three nodes are a cluster");
            let empty = Durable::of(Incarnation(1), Vec::new());
            let replica = Raft::recover(NodeId(id), config, empty).expect("an empty disk is fine");
            inputs.push_back((NodeId(id), Input::Start));
            (replica, Effects::after_recovery(0), Outbox::after_recovery(0, Links::Any))
        })
        .collect();

    // The no-op of the first term, and three commands.
    while nodes.iter().any(|(replica, ..)| replica.status().committed < LogIndex(4)) {
        let (id, input) = inputs.pop_front().unwrap_or_else(|| {
            // Nothing to do: the leader is asked for something, or time passes until a timer fires.
            let leads = |id: &u8| nodes[*id as usize].0.status().role == Role::Leader;
            if let Some(leader) = (0..3).find(leads)
                && let Some(text) = commands.next()
            {
                return (NodeId(leader), Input::Propose(command(text)));
            }
            let earliest = timers.iter().min_by_key(|(_, at)| **at);
            let (&(id, timer), &at) = earliest.expect("there is always a timer");
            timers.remove(&(id, timer));
            now = at;
            (id, Input::Timer(timer))
        });
        let env = Env::new(now, &cluster, &keys, &meter);
        let (replica, effects, outbox) = &mut nodes[id.index()];
        replica.step(input, &env, effects);
        replica.step(Input::Drained, &env, effects);
        assert_eq!(effects.halted(), None);
        let mut leaving = Vec::new();
        for effect in effects.drain() {
            match effect {
                // This disk is done at once, so promises are free to go.
                Effect::Write { number, .. } => {
                    leaving.extend(outbox.durable(number));
                    inputs.push_back((id, Input::Durable(number)));
                }
                Effect::Send { to, message, after } => {
                    leaving.push((outbox.offer(to, &message, after), message));
                }
                Effect::Commit { index, batch } => batch.commands().for_each(|command| {
                    say(id, index, &String::from_utf8_lossy(&command.payload));
                }),
                Effect::SetTimer { timer, delay } => {
                    let place = (delay.max - delay.min) * (u32::from(id.0) + 1) / 4;
                    timers.insert((id, timer), now + delay.min + place);
                }
                Effect::CancelTimer { timer } => {
                    timers.remove(&(id, timer));
                }
                Effect::Refuse { why, .. } => panic!("refused: {why}"),
                Effect::Members { .. } => {} // Nobody comes or goes here.
                other => panic!("not in this example: {other:?}"),
            }
        }
        for (receivers, message) in leaving {
            for to in receivers.iter() {
                let envelope = Envelope { from: id, message: message.clone() };
                let verified = Raft::verify(envelope, &env).expect("these replicas are honest");
                inputs.push_back((to, Input::Message(verified)));
            }
        }
    }
}

fn command(text: &'static str) -> Batch {
    let (client, session, request) = (ClientId(1), SessionId(0), RequestId(1));
    let payload = text.as_bytes().into();
    Batch::of(&[Command { client, session, request, payload, tag: Tag::none() }])
}

#[expect(clippy::print_stdout, reason = "an example talks")]
fn say(id: NodeId, index: LogIndex, text: &str) {
    println!("{id} index {index}: {text}");
}
