//! What flies over a table: carried, kept, lost, counted.

use super::{Table, node};
use crate::stage::Flight;
use consensus_core::{Audit, Message, NodeSet};

impl<P: Audit> Table<P> {
    /// Takes a message of a kind off the table, the oldest first.
    ///
    /// # Panics
    /// If there is none.
    pub fn take(&mut self, from: usize, to: usize, kind: &str) -> P::Message {
        let taken = self.stage.take(node(from), node(to), kind);
        taken.unwrap_or_else(|| panic!("no {kind} from {from} to {to}: {:?}", self.flying()))
    }

    /// Carries a message of a kind.
    pub fn carry(&mut self, from: usize, to: usize, kind: &str) -> P::Message {
        let message = self.take(from, to, kind);
        self.hand(from, to, message.clone());
        message
    }

    /// Hands a message over, whether it was sent or not.
    ///
    /// # Panics
    /// If it is not well-formed.
    pub fn hand(&mut self, from: usize, to: usize, message: P::Message) {
        self.on(to, |stage, to| {
            stage.hand(node(from), to, message).expect("these replicas are honest");
        });
    }

    /// A message that flies arrives, and flies on.
    pub fn deliver(&mut self, flying: &Flight<P::Message>) {
        self.hand(flying.from.index(), flying.to.index(), P::Message::clone(&flying.message));
    }

    /// Loses a message that flies.
    pub fn lose(&mut self, flying: &Flight<P::Message>) {
        self.stage.remove(flying);
    }

    /// Carries whatever flies, oldest first, until nothing does.
    ///
    /// # Panics
    /// If that never comes.
    pub fn carry_all(&mut self) {
        self.carry_those(|_| true);
    }

    /// The same with these only; the others stay on the table.
    ///
    /// # Panics
    /// If that never comes.
    pub fn carry_those(&mut self, these: impl Fn(&Flight<P::Message>) -> bool) {
        let mut carried = 0;
        while let Some(oldest) = self.flying().into_iter().find(&these) {
            self.lose(&oldest);
            self.deliver(&oldest);
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// All but snapshots: those are long on their way.
    ///
    /// # Panics
    /// If that never comes.
    pub fn carry_all_but_snapshots(&mut self) {
        self.carry_those(|flying| flying.message.kind().name != "snapshot-chunk");
    }

    /// Carries whatever flies until nothing does; what flies from or to these is lost.
    ///
    /// # Panics
    /// If that never comes.
    pub fn carry_all_but(&mut self, cut: NodeSet) {
        let mut carried = 0;
        while let Some(oldest) = self.flying().first() {
            self.lose(oldest);
            if !cut.contains(oldest.from) && !cut.contains(oldest.to) {
                self.deliver(oldest);
            }
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// What flies, oldest first.
    pub fn flying(&self) -> Vec<Flight<P::Message>> {
        self.stage.flying()
    }

    /// How many messages of a kind fly.
    pub fn count(&self, kind: &str) -> usize {
        self.stage.count(kind)
    }

    /// To whom a replica sent messages of a kind, over all its lives, in that order.
    pub fn sent(&self, from: usize, kind: &str) -> Vec<usize> {
        let these = self
            .stage
            .sent()
            .iter()
            .filter(|sent| sent.from.index() == from && sent.message.kind().name == kind);
        these.map(|sent| sent.to.index()).collect()
    }

    /// Throws away what flies, but for this.
    pub fn keep(&mut self, kept: impl Fn(&Flight<P::Message>) -> bool) {
        for flying in self.flying().iter().filter(|flying| !kept(flying)) {
            self.lose(flying);
        }
    }

    /// Throws away whatever flies.
    pub fn lose_all(&mut self) {
        self.stage.lose_all();
    }
}
