//! What a world does, step by step, as a module of TLA+: for checking that a run of the real code
//! is a behaviour of the text in `docs/tla`.
//!
//! Only what crosses the border of a replica is told: what came in, what was written, committed and
//! really sent, what the disk has, and what the replica says of itself.

use super::World;
use crate::tla::expression;
use consensus_core::{
    Audit, Batch, ConsensusProtocol, Effect, Incarnation, Input, LogIndex, NodeId, NodeSet,
    StateMachine,
};

/// The steps so far, at most so many.
pub(super) struct Chronicle {
    steps: Vec<String>,
    limit: usize,
}

impl Chronicle {
    fn add(&mut self, node: NodeId, event: &str, fields: &str) {
        if self.steps.len() < self.limit {
            let node = node.0;
            self.steps.push(format!("[event |-> \"{event}\", node |-> {node}, {fields}]"));
        }
    }
}

/// What came to a replica, as a record.
fn heard<P: ConsensusProtocol>(input: &Input<P>) -> String {
    match input {
        Input::Start => "[kind |-> \"Start\"]".to_owned(),
        Input::Message(verified) => {
            let (from, message) = (verified.sender().0, expression(verified.message()));
            format!("[kind |-> \"Message\", from |-> {from}, message |-> {message}]")
        }
        Input::Propose(batch) => {
            format!("[kind |-> \"Propose\", batch |-> {}]", expression(batch))
        }
        Input::Timer(timer) => format!("[kind |-> \"Timer\", timer |-> \"{timer:?}\"]"),
        Input::Durable(upto) => format!("[kind |-> \"Durable\", upto |-> {}]", upto.0),
        Input::Transfer(to) => format!("[kind |-> \"Transfer\", to |-> {}]", to.0),
        Input::Change(change) => {
            format!("[kind |-> \"Change\", change |-> {}]", expression(change))
        }
        Input::Read(read) => format!("[kind |-> \"Read\", id |-> {}]", read.id),
        Input::SnapshotTaken(meta) => {
            format!("[kind |-> \"SnapshotTaken\", index |-> {}]", meta.index.0)
        }
        Input::SnapshotInstalled(meta) => {
            format!("[kind |-> \"SnapshotInstalled\", index |-> {}]", meta.index.0)
        }
        Input::Campaign => "[kind |-> \"Campaign\"]".to_owned(),
        Input::Drained => "[kind |-> \"Drained\"]".to_owned(),
    }
}

fn set(nodes: NodeSet) -> String {
    let names: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
    format!("{{{}}}", names.join(", "))
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Keeps the next steps, so many at most, for [`take_chronicle`](Self::take_chronicle). Changes
    /// nothing else.
    pub(crate) fn keep_chronicle(&mut self, limit: usize) {
        self.chronicle = Some(Chronicle { steps: Vec::new(), limit });
    }

    /// The steps since [`keep_chronicle`](Self::keep_chronicle) as the module `Tape`.
    pub(crate) fn take_chronicle(&mut self) -> String {
        let steps = self.chronicle.take().map(|chronicle| chronicle.steps).unwrap_or_default();
        let (title, seed) = (P::INFO.title, self.setup.seed);
        let (nodes, no_op) = (set(self.cluster().nodes()), expression(&Batch::noop()));
        let steps = steps.join(",\n  ");
        format!(
            "---- MODULE Tape ----\n\\* A run of {title} with seed {seed}, see docs/tla.\n\
             EXTENDS Stable\n\nTapeNodes == {nodes}\nTapeNoOp == {no_op}\n\
             Steps == <<\n  {steps}\n>>\n====\n"
        )
    }

    /// Notes what came to a replica, before it takes it. Nothing without a chronicle.
    pub(super) fn hear(&self, input: &Input<P>) -> Option<String> {
        let full = |chronicle: &Chronicle| chronicle.steps.len() >= chronicle.limit;
        self.chronicle.as_ref().filter(|chronicle| !full(chronicle)).map(|_| heard(input))
    }

    /// A replica took an input, and this is what it made of it.
    pub(super) fn chronicle_step(&mut self, id: NodeId, heard: Option<String>) {
        let (Some(heard), Some(chronicle)) = (heard, &mut self.chronicle) else { return };
        let node = &self.nodes[id.index()];
        let Some(replica) = &node.replica else { return };
        let (mut writes, mut commits) = (Vec::new(), Vec::new());
        for effect in node.driver.effects.iter() {
            match effect {
                Effect::Write { record, needed, .. } => {
                    let needed = expression(needed);
                    let record = expression(record);
                    writes.push(format!("[needed |-> {needed}, record |-> {record}]"));
                }
                Effect::Commit { index, batch } => {
                    let batch = expression(batch);
                    commits.push(format!("[index |-> {}, batch |-> {batch}]", index.0));
                }
                Effect::Send { .. }
                | Effect::SetTimer { .. }
                | Effect::CancelTimer { .. }
                | Effect::Refuse { .. }
                | Effect::Compact { .. }
                | Effect::Fetch { .. }
                | Effect::Snapshot { .. }
                | Effect::Ready { .. }
                | Effect::RefuseRead { .. }
                | Effect::Members { .. }
                | Effect::RefuseChange { .. } => {}
            }
        }
        let status = replica.status();
        let idle = writes.is_empty() && commits.is_empty() && node.status == Some(status);
        let silent = ["[kind |-> \"Propose\"", "[kind |-> \"Drained\""];
        if idle && silent.iter().any(|kind| heard.starts_with(kind)) {
            return; // Refused or queued, or only sent: nothing that a step of the text does.
        }
        let (writes, commits) = (writes.join(", "), commits.join(", "));
        let LogIndex(committed) = status.committed;
        let LogIndex(last) = status.last;
        let fields = format!(
            "input |-> {heard}, writes |-> <<{writes}>>, commits |-> <<{commits}>>, \
             role |-> \"{:?}\", epoch |-> {}, committed |-> {committed}, last |-> {last}",
            status.role, status.epoch
        );
        chronicle.add(id, "Step", &fields);
    }

    /// A message left its node for real.
    pub(super) fn chronicle_sent(&mut self, from: NodeId, to: NodeSet, message: &P::Message) {
        if let Some(chronicle) = &mut self.chronicle {
            let (to, message) = (set(to), expression(message));
            chronicle.add(from, "Sent", &format!("to |-> {to}, message |-> {message}"));
        }
    }

    /// Of a node's write stream the first so many records are on its disk.
    pub(super) fn chronicle_synced(&mut self, id: NodeId, upto: usize) {
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.add(id, "Synced", &format!("upto |-> {upto}"));
        }
    }

    /// Memory is gone, and so many records are left.
    pub(super) fn chronicle_crash(&mut self, id: NodeId, kept: usize) {
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.add(id, "Crash", &format!("kept |-> {kept}"));
        }
    }

    /// A replica is about to begin a life.
    pub(super) fn chronicle_restart(&mut self, id: NodeId, incarnation: Incarnation) {
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.add(id, "Restart", &format!("incarnation |-> {}", incarnation.0));
        }
    }
}
