//! O7: what one node said, over all its lives. It is part of the node, as a verdict must be a
//! function of the state.

use crate::violation::Violation;
use consensus_core::{Claim, NodeId, Topic};
use std::collections::BTreeMap;

/// All that one node claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Claims {
    once: BTreeMap<Topic, u128>,
    /// Apart from these, so that they are hashed as what they are.
    nodes: BTreeMap<Topic, NodeId>,
    rising: BTreeMap<Topic, u128>,
}

impl Claims {
    /// A message with this claim leaves the node.
    pub(crate) fn say(&mut self, node: NodeId, claim: Claim) -> Result<(), Violation> {
        let (topic, before, now, verb) = match claim {
            Claim::Once(topic, value) => {
                let first = *self.once.entry(topic).or_insert(value);
                if first == value {
                    return Ok(());
                }
                (topic, first, value, "now says")
            }
            Claim::For(topic, node) => {
                let first = *self.nodes.entry(topic).or_insert(node);
                if first == node {
                    return Ok(());
                }
                (topic, u128::from(first.0), u128::from(node.0), "now says")
            }
            Claim::Rising(topic, value) => {
                let highest = self.rising.entry(topic).or_insert(value);
                if value >= *highest {
                    *highest = value;
                    return Ok(());
                }
                (topic, *highest, value, "fell back to")
            }
        };
        let Topic { name, major, minor } = topic;
        let detail =
            format!("on {name} ({major}, {minor}) it said {before:#x} and {verb} {now:#x}");
        Err(Violation::new("O7", "no self-contradiction", Some(node), detail))
    }

    /// What it claimed on a topic that allows one value.
    pub(crate) fn said(&self, topic: Topic) -> Option<u128> {
        self.once.get(&topic).copied()
    }
}
