//! Nodes that lie. A traitor runs the honest code, and what it says is tampered with on its way
//! out, under its own key: it can say anything, but only in its own name (OSDI '99, §2).

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
}

impl Treason {
    /// All ways to lie.
    pub const ALL: [Self; 5] =
        [Self::Equivocate, Self::Selective, Self::Mute, Self::Replay, Self::LieToClients];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "honest",
            Self::Equivocate => "traitor equivocates",
            Self::Selective => "traitor leaves receivers out",
            Self::Mute => "traitor is mute",
            Self::Replay => "traitor replays",
            Self::LieToClients => "traitor lies to clients",
        }
    }
}
