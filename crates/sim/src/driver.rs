//! How a driver takes what a replica wants: one thing after the other, or where it lies.

use consensus_core::{
    ConsensusProtocol, Effect, Effects, Kept, LogIndex, NodeSet, Outbox, RecordNumber,
};

/// A replica's way out, in one life: what its last step wants, and the messages that wait for the
/// disk.
pub(crate) struct Driver<P: ConsensusProtocol> {
    /// It looks at things where they lie ([`Effects::in_place`]), as that of the runtime does.
    in_place: bool,
    pub(crate) effects: Effects<P>,
    pub(crate) outbox: Outbox<P::Message>,
}

impl<P: ConsensusProtocol> Driver<P> {
    /// On a disk with so many records.
    pub(crate) fn after_recovery(records: usize, in_place: bool) -> Self {
        let effects = Effects::after_recovery(records);
        let effects = if in_place { effects.in_place() } else { effects };
        Self { in_place, effects, outbox: Outbox::after_recovery(records, P::INFO.links) }
    }

    /// The same on a disk with so many records, in another life.
    pub(crate) fn begin_life(&mut self, records: usize) {
        *self = Self::after_recovery(records, self.in_place);
    }

    /// May messages leave that a step does not list? They have their own way, past its effects.
    pub(crate) fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// What the last step wants, in the order in which the runtime does it if things are looked at
    /// in place: what is decided first, then records that the replica keeps; messages leave last.
    pub(crate) fn wants(&mut self, replica: Option<&P>, list: &mut Vec<Effect<P>>) {
        let kept = "a replica keeps what it says that it does";
        if let (Some(replica), true) = (replica, self.in_place) {
            let (first, count) = self.effects.take_decided().unwrap_or_default();
            for index in (first.0..first.0 + count).map(LogIndex) {
                let batch = replica.decided(index).expect(kept).clone();
                list.push(Effect::Commit { index, batch });
            }
            for Kept { number, first, count } in self.effects.kept().iter().copied() {
                let record = replica.kept(first, count).expect(kept);
                list.push(Effect::Write { number, record, needed: true });
            }
            list.extend(self.effects.timers().iter().map(|(timer, delay)| match *delay {
                Some(delay) => Effect::SetTimer { timer: *timer, delay },
                None => Effect::CancelTimer { timer: *timer },
            }));
        }
        list.extend(self.effects.drain());
        let after = RecordNumber::ZERO;
        self.effects.leave(|to, message| list.push(Effect::Send { to, message, after }));
    }

    /// The disk has everything up to here: the messages that may leave by now.
    pub(crate) fn released(&mut self, upto: RecordNumber) -> Vec<(NodeSet, P::Message)> {
        let mut released = self.outbox.durable(upto);
        self.effects.synced(upto);
        self.effects.leave(|to, message| released.push((to, message)));
        released
    }
}
