//! Whose turn it is to be asked, for clients that ask one replica after the other.

use crate::id::{NodeId, NodeSet};

/// The replicas that a client may ask, and the one that it asks next.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    nodes: NodeSet,
    target: NodeId,
    /// Whose turn it was last, hints apart. Old members may all hint at one that is gone; who
    /// follows a hint in vain goes on behind the one that gave it, or hints lead in circles.
    last: NodeId,
}

impl Turn {
    /// The client asks `target` first.
    pub(crate) fn new(nodes: NodeSet, target: NodeId) -> Self {
        Self { nodes, target, last: target }
    }

    /// The replica that is asked next.
    pub(crate) fn target(&self) -> NodeId {
        self.target
    }

    /// The replicas that may be asked.
    pub(crate) fn nodes(&self) -> NodeSet {
        self.nodes
    }

    /// The replicas that may be asked from now on, if there are any: members come and go.
    pub(crate) fn know(&mut self, nodes: NodeSet) {
        if !nodes.is_empty() {
            self.nodes = nodes;
        }
    }

    /// This replica has its turn now, known or not.
    pub(crate) fn prefer(&mut self, target: NodeId) {
        self.nodes.insert(target);
        (self.target, self.last) = (target, target);
    }

    /// Somebody says that this one is to be asked.
    pub(crate) fn follow(&mut self, hint: NodeId) {
        self.target = hint;
    }

    /// Another replica has its turn.
    pub(crate) fn pass_on(&mut self) {
        let next = self.following(self.last);
        self.last = if next == self.target { self.following(next) } else { next };
        self.target = self.last;
    }

    fn following(&self, node: NodeId) -> NodeId {
        let later = self.nodes.iter().find(|other| *other > node);
        later.or_else(|| self.nodes.iter().next()).unwrap_or(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each in turn; who was hinted at in vain is passed over once.
    #[test]
    fn everybody_has_a_turn_and_hints_do_not_hold_it_up() {
        let mut turn = Turn::new(NodeSet::first(3), NodeId(1));
        let mut asked = Vec::new();
        for _ in 0..3 {
            turn.pass_on();
            asked.push(turn.target().0);
        }
        assert_eq!(asked, [2, 0, 1]);
        turn.follow(NodeId(2));
        turn.pass_on();
        assert_eq!(turn.target(), NodeId(0), "n2 was asked just now");
        turn.know(NodeSet::EMPTY);
        assert_eq!(turn.nodes(), NodeSet::first(3), "there is always somebody to ask");
        turn.prefer(NodeId(7));
        turn.pass_on();
        assert_eq!(turn.target(), NodeId(0));
    }
}
