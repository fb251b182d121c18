//! Nodes that lie. A traitor runs the honest code, and what it says is tampered with on its way
//! out, under its own key: it can say anything, but only in its own name (OSDI '99, §2). Traitors
//! are in league: what one hears, all know.

use crate::rng::Rng;
use consensus_core::{Envelope, Message, NodeId};

/// How a traitor lies just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Treason {
    /// Not at all.
    #[default]
    None,
    /// Says one thing to some and the contrary to others ([`consensus_core::Audit::equivocate`]).
    Equivocate,
    /// Leaves out some receivers of each message.
    Selective,
    /// Says nothing.
    Mute,
    /// Says old things again, beside the new.
    Replay,
    /// Tells clients wrong results.
    LieToClients,
    /// Makes lies up from all that the traitors know ([`consensus_core::Audit::forge`]), beside
    /// what it has to say or in its place, and unasked.
    Forge,
    /// Does so with one and the same trick, always in the place of what it has to say.
    Insist,
}

impl Treason {
    /// Does it make lies up?
    pub(crate) fn makes_up(self) -> bool {
        matches!(self, Self::Forge | Self::Insist)
    }

    /// All ways to lie.
    pub const ALL: [Self; 7] = [
        Self::Equivocate,
        Self::Selective,
        Self::Mute,
        Self::Replay,
        Self::LieToClients,
        Self::Forge,
        Self::Insist,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "honest",
            Self::Equivocate => "traitor equivocates",
            Self::Selective => "traitor leaves receivers out",
            Self::Mute => "traitor is mute",
            Self::Replay => "traitor replays",
            Self::LieToClients => "traitor lies to clients",
            Self::Forge => "traitor forges",
            Self::Insist => "traitor insists on a lie",
        }
    }
}

/// Messages of one kind that traitors remember.
const REMEMBERED: usize = 32;

/// What the traitors have heard and said: of each kind much that is new, and some that is old.
pub(crate) struct Gossip<M> {
    kinds: Vec<Vec<Envelope<M>>>,
}

impl<M: Message> Gossip<M> {
    pub(crate) fn new() -> Self {
        Self { kinds: M::KINDS.iter().map(|_| Vec::new()).collect() }
    }

    /// A traitor hears or says this.
    pub(crate) fn hear(&mut self, from: NodeId, message: &M, rng: &mut Rng) {
        let kind = message.kind();
        let Some(place) = M::KINDS.iter().position(|known| known.name == kind.name) else { return };
        let heard = &mut self.kinds[place];
        if heard.len() == REMEMBERED {
            heard.swap_remove(rng.place(REMEMBERED));
        }
        heard.push(Envelope { from, message: message.clone() });
    }

    /// All that they remember.
    pub(crate) fn heard(&self) -> Vec<&Envelope<M>> {
        self.kinds.iter().flatten().collect()
    }
}
