//! Messages on their way, on every link in the order of sending.

use crate::oracle::Table;
use crate::scenario::{Name, Pick};
use consensus_core::{Fingerprint, Message, NodeId, NodeSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Flight<M> {
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// What it says.
    pub message: Arc<M>,
    /// What says the contrary, under the same key, where the sender is a traitor who can lie.
    pub contrary: Option<Arc<M>>,
    /// Counts what was sent on this stage.
    pub(crate) serial: u64,
    /// So many steps were done before the one that sent it.
    pub(crate) step: u64,
    arrived: bool,
}

impl<M: Message> Flight<M> {
    fn is(&self, kind: &str, lie: bool) -> bool {
        self.message.kind().name == kind && (!lie || self.contrary.is_some())
    }
}

type Link = (NodeId, NodeId);

/// A message that was found: the serial of its flight, itself, and whether it is the contrary.
pub(crate) struct Found<M> {
    pub(crate) serial: u64,
    pub(crate) message: Arc<M>,
    pub(crate) lie: bool,
}

/// All messages on their way.
pub(crate) struct Flights<M> {
    links: BTreeMap<Link, Vec<Flight<M>>>,
    /// The last message with this fingerprint on this link, and whether it is the contrary of what
    /// was said.
    prints: Table<(Link, u64), (u64, bool)>,
    sent: u64,
    /// Everything that was sent, if it is kept.
    pub(super) log: Option<Vec<Sent<M>>>,
}

/// A message that was sent at some time.
#[derive(Clone, Debug)]
pub(crate) struct Sent<M> {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Arc<M>,
}

impl<M> Default for Flights<M> {
    fn default() -> Self {
        Self { links: BTreeMap::new(), prints: Table::default(), sent: 0, log: None }
    }
}

impl<M: Message> Flights<M> {
    /// Puts a message on its way, in the step after so many others.
    pub(crate) fn send(
        &mut self,
        step: u64,
        (from, to): (NodeId, NodeSet),
        message: M,
        contrary: Option<M>,
    ) {
        let print = Fingerprint::of(&message).0;
        let lie = contrary.as_ref().map(|contrary| Fingerprint::of(contrary).0);
        let (message, contrary) = (Arc::new(message), contrary.map(Arc::new));
        for to in to.iter() {
            let serial = self.sent;
            self.sent += 1;
            let (message, contrary) = (message.clone(), contrary.clone());
            if let Some(log) = &mut self.log {
                log.push(Sent { from, to, message: message.clone() });
            }
            let flight = Flight { from, to, message, contrary, serial, step, arrived: false };
            if let Some(lie) = lie {
                self.prints.insert(((from, to), lie), (serial, true));
            }
            self.prints.insert(((from, to), print), (serial, false));
            self.links.entry((from, to)).or_default().push(flight);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Flight<M>> {
        self.links.values().flatten()
    }

    /// Finds a message by its name. Where `loose`, a fingerprint that is not there (any more)
    /// stands for the newest message of that kind, best one that has not arrived yet: what is left
    /// of a run after steps were taken out seldom says the very same words.
    pub(crate) fn find(&self, name: &Name, lie: bool, loose: bool) -> Option<Found<M>> {
        let link = (name.from, name.to);
        let flights = self.links.get(&link)?;
        let found = |flight: &Flight<M>, lie: bool| {
            let message = if lie { flight.contrary.clone()? } else { flight.message.clone() };
            Some(Found { serial: flight.serial, message, lie })
        };
        let nth = match name.pick {
            Pick::Nth(nth) => nth,
            Pick::Print(print) => {
                let known = self.prints.get(&(link, print));
                if let Some((serial, lie)) = known
                    && let Ok(at) = flights.binary_search_by_key(serial, |flight| flight.serial)
                {
                    return found(&flights[at], *lie);
                }
                if !loose {
                    return None;
                }
                let like = || flights.iter().rev().filter(|flight| flight.is(&name.kind, lie));
                let best = like().find(|flight| !flight.arrived).or_else(|| like().next());
                return found(best?, lie);
            }
        };
        let mut like = flights.iter().filter(|flight| flight.is(&name.kind, lie));
        found(like.nth(nth.checked_sub(1)? as usize)?, lie)
    }

    /// The message arrives: it is gone unless it is kept on its way.
    pub(crate) fn arrive(&mut self, link: Link, serial: u64, keep: bool) {
        let Some(flights) = self.links.get_mut(&link) else { return };
        let Ok(at) = flights.binary_search_by_key(&serial, |flight| flight.serial) else { return };
        if keep {
            flights[at].arrived = true;
        } else {
            flights.remove(at);
        }
    }

    /// The kinds that are on their way on a link, each with its number.
    pub(crate) fn kinds(&self, link: Link) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for flight in self.links.get(&link).into_iter().flatten() {
            *kinds.entry(flight.message.kind().name).or_default() += 1;
        }
        kinds
    }
}
