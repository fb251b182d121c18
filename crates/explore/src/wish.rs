//! What an operator may want: a few changes of members, each worked out from the members that he
//! sees at the node that he asks.

use consensus_core::{Change, Membership, NodeId, NodeSet};
use std::fmt;
use std::str::FromStr;

/// A change of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// The node that is asked shall go: with most algorithms that is the leader.
    Leave,
    /// The last voter beside the node that is asked shall go.
    Remove,
    /// The first node that is no member shall learn.
    Learn,
    /// The first learner, or else the first node that is no member, shall vote.
    Vote,
    /// In one change the last voter beside the node that is asked goes, and the first node that is
    /// no member votes.
    Replace,
    /// The same, but the node that is asked goes.
    Resign,
}

impl Wish {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Leave, Self::Remove, Self::Learn, Self::Vote, Self::Replace, Self::Resign];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::Remove => "remove",
            Self::Learn => "learn",
            Self::Vote => "vote",
            Self::Replace => "replace",
            Self::Resign => "resign",
        }
    }

    /// What the operator says to `asked`, who sees these members among `all` nodes; `None` if there
    /// is nothing to be changed that way.
    pub(crate) fn change(self, asked: NodeId, seen: &Membership, all: NodeSet) -> Option<Change> {
        let change = Change::of(seen);
        let voter = seen.voters.without(asked).iter().last();
        let outsider = || all.minus(seen.members()).iter().next();
        let present = seen.voters.contains(asked);
        Some(match self {
            Self::Leave if present && seen.voters.len() > 1 => change.remove(asked),
            Self::Remove if present => change.remove(voter?),
            Self::Learn => change.add_learner(outsider()?),
            Self::Vote => change.add_voter(seen.learners.iter().next().or_else(outsider)?),
            Self::Replace if present => change.remove(voter?).add_voter(outsider()?),
            Self::Resign if present => change.remove(asked).add_voter(outsider()?),
            _ => return None,
        })
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = |wish: &Self| wish.name() == name.trim();
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no change '{name}'; choose from {names}")
        })
    }
}

/// A set of wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Wishes(u8);

impl Wishes {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(wishes: &[Wish]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < wishes.len() {
            bits |= 1 << wishes[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// In the order of [`Wish::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Wish> {
        Wish::ALL.into_iter().filter(move |wish| self.0 & (1 << *wish as u8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::LogIndex;

    #[test]
    fn wishes_are_changes_of_what_is_seen() {
        let set = |nodes: &[u8]| nodes.iter().map(|node| NodeId(*node)).collect::<NodeSet>();
        let seen =
            Membership { version: LogIndex(3), voters: set(&[0, 1, 2]), ..Default::default() };
        let change = |wish: Wish, asked| wish.change(NodeId(asked), &seen, set(&[0, 1, 2, 3]));
        for (wish, voters) in [
            (Wish::Leave, &[0, 2][..]),
            (Wish::Remove, &[0, 1]),
            (Wish::Vote, &[0, 1, 2, 3]),
            (Wish::Replace, &[0, 1, 3]),
            (Wish::Resign, &[0, 2, 3]),
        ] {
            let change = change(wish, 1).expect("there is such a change");
            assert_eq!((change.voters, change.expected), (set(voters), LogIndex(3)), "{wish}");
        }
        assert_eq!(change(Wish::Learn, 1).expect("a change").learners, set(&[3]));
        assert_eq!(change(Wish::Leave, 3), None, "it is no member");
        assert_eq!(Wish::Vote.change(NodeId(0), &seen, set(&[0, 1, 2])), None, "nobody is left");
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = Wishes::of(&[Wish::Replace, Wish::Leave]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Wish::Leave, Wish::Replace]);
        assert!("remove".parse::<Wish>().is_ok() && "stay".parse::<Wish>().is_err());
    }
}
