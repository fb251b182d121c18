//! A stage as the player of a written scenario sees it.

use super::flights::Sent;
use super::{Flight, Stage};
use crate::scenario::{Name, Pattern, Pick};
use consensus_core::{
    Audit, Batch, Effects, Env, Envelope, Input, LogIndex, Message, NodeId, Rejected, Verified,
};

impl<P: Audit> Stage<P> {
    /// From now on everything that is sent is kept, to be counted.
    pub(crate) fn keep_sent(&mut self) {
        self.flights.log.get_or_insert_default();
    }

    /// What was sent since, in order.
    pub(crate) fn sent(&self) -> &[Sent<P::Message>] {
        self.flights.log.as_deref().unwrap_or_default()
    }

    /// The oldest message on its way that is none of these, and to whom it is named.
    pub(crate) fn oldest(&self, held: &[Pattern]) -> Option<Name> {
        let fits = |flight: &&Flight<P::Message>| {
            let kind = flight.message.kind().name;
            !held.iter().any(|pattern| pattern.fits(kind, flight.from, flight.to))
        };
        let flight = self.flights.iter().filter(fits).min_by_key(|flight| flight.serial)?;
        let (from, to, kind) = (flight.from, flight.to, flight.message.kind().name);
        // Links keep the order of sending, so it is the first of its kind on its link.
        Some(Name { kind: kind.to_owned(), from, to, pick: Pick::Nth(1) })
    }

    /// The message that a name stands for.
    pub(crate) fn named(&self, name: &Name) -> Option<&P::Message> {
        let Pick::Nth(nth) = name.pick else { return None };
        let like = |flight: &&Flight<P::Message>| {
            let link = (flight.from, flight.to) == (name.from, name.to);
            link && flight.message.kind().name == name.kind
        };
        let mut like: Vec<_> = self.flights.iter().filter(like).collect();
        like.sort_unstable_by_key(|flight| flight.serial);
        like.get(nth.checked_sub(1)? as usize).map(|flight| &*flight.message)
    }

    /// Clients asked for whatever the disks hold at the beginning.
    pub(crate) fn believe_disks(&mut self) {
        for node in self.cluster.nodes().iter() {
            let Some(replica) = &self.actors[node.index()].replica else { continue };
            let last = replica.status().last;
            let held = (1..=last.0).filter_map(|index| replica.entry(LogIndex(index)).cloned());
            for batch in held.collect::<Vec<Batch>>() {
                batch.commands().for_each(|command| self.witness.submitted(&command));
            }
        }
    }

    /// A step of a copy of a replica, which the stage does not notice.
    pub(crate) fn step_apart(
        &self,
        node: NodeId,
        (replica, effects): (&mut P, &mut Effects<P>),
        input: Input<P>,
    ) {
        let actor = &self.actors[node.index()];
        let env =
            Env::new(self.clock_of(node), &self.cluster, &self.keys[node.index()], &actor.meter);
        replica.step(input, &env, effects);
    }

    /// Would this message be let in?
    pub(crate) fn verify_apart(
        &self,
        (from, to): (NodeId, NodeId),
        message: P::Message,
    ) -> Result<Verified<P::Message>, Rejected> {
        let actor = &self.actors[to.index()];
        let env = Env::new(self.clock_of(to), &self.cluster, &self.keys[to.index()], &actor.meter);
        P::verify(Envelope { from, message }, &env)
    }
}
