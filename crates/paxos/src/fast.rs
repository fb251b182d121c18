//! The fast variant, [`Config::fast`]: Leslie Lamport, "Fast Paxos" (Distributed Computing 19(2),
//! 2006). Off by default. Who reads about Basic Paxos can leave this file out: the other files only
//! ask it questions. How it works stands with [`Fast`].

use crate::config::Config;
use crate::message::{ChosenAt, Message, Proposal};
use crate::replica::{Paxos, Timer};
use consensus_core::mutant::planted;
use consensus_core::{
    Ballot, Batch, Cluster, ConfigError, Effects, Env, Incarnation, LogIndex, NodeId, NodeSet,
};
use std::collections::BTreeMap;

/// Whether slots begin with a fast round, and how many votes choose a value in it: "Fast
/// Paxos" (Lamport, Distributed Computing 19(2), 2006).
///
/// # A fast round
///
/// Basic Paxos takes four delays to choose a value: two to find out that the slot is free, two to
/// fill it. But below the lowest round of a slot there is nothing to find out. So that one is a
/// *fast round*: in it anyone may propose, without asking first, and an acceptor votes for the
/// first proposal that reaches it. Two delays after the proposer spoke it counts the votes.
///
/// The price is that two may propose at once, and the votes are split. Then a classic round must
/// find out what the fast one came to, out of the promises of a quorum only; and one vote for a
/// value no longer proves that there are no votes for another. So it takes more votes to choose in
/// a fast round than in a classic one: any two *fast quorums* and a phase-1 quorum must have an
/// acceptor in common (§3.1). With q of n promises and f votes that is 2f + q > 2n; with majorities
/// about three quarters of the acceptors, three of three, four of five.
///
/// # The rule for the value
///
/// A classic round takes the value of the highest round that its promises report (P2c). If that is
/// the fast round, it takes the value that may have been chosen there: one for which those who
/// reported it, and those who were not heard, make a fast quorum together (O4, §3.1). The three
/// quorums meet, so there is one such value at most. If there is none, nothing was chosen, and any
/// proposed value will do.
///
/// # Collisions
///
/// An acceptor that has voted and gets another proposal refuses that, as in a classic round. It
/// also knows that there is a collision, and how the next round begins: with what it voted for.
/// So it says that unasked, as a promise for that round, to the node that *coordinates* the slot
/// (coordinated recovery, §3.2). The coordinator goes on with phase 2 as soon as it has a quorum of
/// promises. If nothing comes of that, the proposers try again after their back-off, each with a
/// classic round of its own, as without this variant.
///
/// Nobody waits for a fast quorum that is not there: who hears nothing goes on with a classic
/// round, and does not begin a fast one again until enough acceptors have said something.
///
/// # Paper and code
///
/// | "Fast Paxos" | here |
/// |---|---|
/// | §3.1, rounds are fast or classic, and the number says which | `is_fast` |
/// | §3.1, phase 2(a) of a fast round: the coordinator says *any* | nothing: see below |
/// | §3.1, proposers send to the acceptors | `Paxos::propose_fast`, [`Message::Propose`] |
/// | §3.1, phase 2(b): a vote for the first proposal | `Acceptor::on_accept` |
/// | §3.1, a value is chosen by a fast quorum | `Config::acceptances_needed` |
/// | §3.1, Fast Quorum Requirement | [`Config::with_fast_quorum`] |
/// | §3.1, O4 and the rule for phase 2(a) | `Votes::pick` |
/// | §3.2, collisions; coordinated recovery | `Paxos::report_collision`, `Paxos::recover` |
/// | §3.3, progress by classic rounds | `Paxos::on_silence`, `Paxos::on_nack` |
/// | §3.4.1, choosing quorums | `Fast::Smallest` |
///
/// # Where we depart
///
/// * Only the lowest round of a slot is fast. Its phase 1 would hear of no vote, so its *any* may
///   be taken as said to all acceptors from the beginning, and no message carries it. All later
///   rounds are classic; the paper's coordinator may choose that, too.
/// * In the fast round each proposer has a number of its own, (0, node, incarnation). They are all
///   of one round: an acceptor votes for one of them, and learners count each alone. But as it
///   belongs to one proposer, a number still names a value.
/// * In the paper votes (2b) count as promises (1b) of the next round. Here a vote says a
///   fingerprint and goes to the proposer, so the acceptor says it again in full, as a promise,
///   when it sees the collision; without one it costs no message.
/// * The number of a recovery is agreed upon, so it cannot carry the coordinator's incarnation. A
///   coordinator that was restarted knows from its acceptor's records whether it has used it: its
///   `Accept` waits for them (`is_recovery`).
/// * A proposer whose fast round chose a value lets others go first for a while if it was asked for
///   a promise meanwhile (`Paxos::give_way`). The paper's proposers all hear of what is chosen at
///   once; here the others hear of it when the winner has taken the next slot.
/// * Uncoordinated recovery (§3.2) is left out: it saves one more delay where every proposer sees
///   all votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fast {
    /// All rounds are classic: Basic Paxos.
    Off,
    /// The fewest votes that go with the phase-1 quorum.
    Smallest,
    /// So many votes, see [`Config::with_fast_quorum`].
    Quorum(usize),
}

/// The number of a proposer in the fast round of any slot: below all classic rounds.
pub(crate) fn fast_ballot(node: NodeId, incarnation: Incarnation) -> Ballot {
    Ballot::new(0, Some(node), incarnation)
}

/// Is this number of the fast round?
pub(crate) fn is_fast(ballot: Ballot) -> bool {
    ballot.round == 0 && ballot.node().is_some()
}

/// The number under which the coordinator of a slot recovers from a collision. Each slot has its
/// own coordinator, in turn.
pub(crate) fn recovery(slot: LogIndex, cluster: &Cluster) -> Ballot {
    let turn = slot.previous().0 % cluster.size as u64;
    Ballot::new(1, Some(NodeId(turn as u8)), Incarnation(0))
}

/// Is this the number of a recovery? It is of no single life of its proposer, so what is said
/// under it is a promise not to say anything else under it after a restart.
pub(crate) fn is_recovery(ballot: Ballot) -> bool {
    ballot.round == 1 && ballot.node().is_some() && ballot.incarnation() == Incarnation(0)
}

/// Does an acceptance under `held` show the value that was chosen under `chosen`? Above the chosen
/// number only that value is accepted (P2b, §2.2 of the primer's paper). But numbers of the fast
/// round are one round: none of them is above another.
pub(crate) fn shows(held: Ballot, chosen: Ballot) -> bool {
    held == chosen || (held > chosen && (!is_fast(held) || planted("P76")))
}

/// What the promises of a classic round report of the fast round, proposal by proposal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Votes(BTreeMap<Ballot, (NodeSet, Batch)>);

impl Votes {
    pub(crate) fn count(&mut self, from: NodeId, vote: &Proposal) {
        let (voters, _) =
            self.0.entry(vote.ballot).or_insert_with(|| (NodeSet::EMPTY, vote.batch.clone()));
        voters.insert(from);
    }

    /// The rule of §3.1, where the fast round is the highest that was reported: the value that may
    /// have been chosen in it, O4; or, if there is none, any that was proposed: the own one, or the
    /// one with the most votes.
    pub(crate) fn pick(&self, heard: NodeSet, own: Option<Batch>, config: &Config) -> Batch {
        let highest = self.0.last_key_value().filter(|_| planted("P70"));
        let unheard = if planted("P74") { 0 } else { config.quorums.nodes() - heard.len() };
        let enough = config.fast_quorum();
        let perhaps_chosen = self.0.values().find(|(votes, _)| votes.len() + unheard >= enough);
        let most = || self.0.values().max_by_key(|(votes, _)| votes.len());
        match highest.map(|(_, reported)| reported).or(perhaps_chosen) {
            Some((_, batch)) => batch.clone(),
            None => own.or_else(|| most().map(|(_, batch)| batch.clone())).unwrap_or_default(),
        }
    }
}

impl Config {
    /// Begins every slot with a fast round, in which so many votes choose a value.
    ///
    /// # Errors
    /// If two fast quorums and a phase-1 quorum might have no acceptor in common,
    /// `2 * quorum + phase_1 <= 2 * n`, or if there are not so many replicas.
    pub fn with_fast_quorum(self, quorum: usize) -> Result<Self, ConfigError> {
        Self { fast: Fast::Quorum(quorum), ..self }.checked_for_fast()
    }

    /// `on`, or two numbers as `3/4`: the size of both classic quorums, and that of the fast one.
    pub(crate) fn with_named_fast(self, value: &str) -> Result<Self, ConfigError> {
        if value == "on" {
            return Ok(Self { fast: Fast::Smallest, ..self });
        }
        let sizes = value
            .split_once('/')
            .and_then(|(classic, fast)| Some((classic.parse().ok()?, fast.parse().ok()?)));
        let Some((classic, fast)) = sizes else {
            return Err(ConfigError(format!(
                "'fast={value}': expected on, or CLASSIC/FAST as 3/4"
            )));
        };
        Self { fast: Fast::Off, ..self }.with_quorums(classic, classic)?.with_fast_quorum(fast)
    }

    /// Fast Quorum Requirement, §3.1.
    pub(crate) fn checked_for_fast(self) -> Result<Self, ConfigError> {
        let Fast::Quorum(fast) = self.fast else { return Ok(self) };
        let (nodes, classic) = (self.quorums.nodes(), self.quorums.phase_1());
        if fast == 0 || fast > nodes {
            let why = format!("a fast quorum of {fast} is not possible among {nodes} nodes");
            return Err(ConfigError(why));
        }
        if 2 * fast + classic <= 2 * nodes {
            return Err(ConfigError(format!(
                "two fast quorums of {fast} and a phase-1 quorum of {classic} might have none of \
                 {nodes} nodes in common: 2 * {fast} + {classic} must be larger than {}",
                2 * nodes
            )));
        }
        Ok(self)
    }

    /// Votes that choose a value in a fast round. Where no slot begins with one, all of them:
    /// there is no larger quorum.
    pub(crate) fn fast_quorum(&self) -> usize {
        let (nodes, classic) = (self.quorums.nodes(), self.quorums.phase_1());
        match self.fast {
            Fast::Off => nodes,
            Fast::Smallest if planted("P78") => (2 * nodes - classic) / 2,
            Fast::Smallest => (2 * nodes - classic) / 2 + 1,
            Fast::Quorum(quorum) => quorum,
        }
    }
}

impl Paxos {
    /// May this replica begin with the fast round? Not if its acceptor knows that others are about
    /// in the slot, and not if a fast quorum did not answer lately.
    pub(crate) fn may_be_fast(&self, env: &Env<'_>) -> bool {
        let slot = self.learner.first_unknown();
        let is_free = self.acceptor.instance(slot).is_none_or(|it| it.promised == Ballot::ZERO);
        let able = env.cluster.size - self.silent.len();
        let quorum_answers = able >= self.config.fast_quorum();
        self.config.fast != Fast::Off && is_free && quorum_answers && self.proposer.has_commands()
    }

    /// Proposes to the acceptors, without asking first.
    pub(crate) fn propose_fast(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let slot = self.learner.first_unknown();
        let Proposal { ballot, batch } = self.proposer.propose_fast(slot, &self.config);
        self.ask_to_accept(ChosenAt { slot, ballot }, batch, NodeSet::EMPTY, env, effects);
    }

    /// Phase 2(b) of a fast round. A proposer that works at a slot whose value is known here lags
    /// behind, and is told so.
    pub(crate) fn on_propose(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        batch: &Batch,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        if let Some(known) = self.learner.last_chosen().filter(|known| known.slot >= at.slot) {
            return effects.send(from, Message::Chosen(known));
        }
        self.on_accept(from, at, batch, env, effects);
        let voted = self.acceptor.accepted(at.slot).map(|held| held.ballot);
        if voted.is_some_and(|voted| is_fast(voted) && voted != at.ballot) {
            effects.reached("collision in the fast round");
            self.report_collision(at.slot, env, effects);
        }
    }

    /// Its fast round chose a value, but a rival asked for a promise meanwhile: it will hear of the
    /// value last, and find the next slot taken. So it is left alone with that for a while, or who
    /// was first once could be first for ever.
    pub(crate) fn give_way(&mut self, at: ChosenAt, effects: &mut Effects<Self>) {
        let promised = self.acceptor.instance(at.slot).map_or(Ballot::ZERO, |it| it.promised);
        let alone = promised == at.ballot || planted("P81");
        if is_fast(at.ballot) && !alone && self.proposer.keep_quiet() {
            effects.reached("gives way to a rival");
            effects.set_timer(Timer::Retry, self.config.back_off);
        }
    }

    /// Coordinated recovery (§3.2), the acceptor: it has nothing to add to its vote in the fast
    /// round, and says so to who coordinates the next one.
    fn report_collision(&mut self, slot: LogIndex, env: &Env<'_>, effects: &mut Effects<Self>) {
        let ballot = recovery(slot, env.cluster);
        self.proposer.saw(ballot);
        let Some(coordinator) = ballot.node().filter(|node| *node != self.id) else {
            return self.recover(slot, env, effects);
        };
        let answer = if planted("P75") {
            Ok(self.acceptor.accepted(slot).cloned())
        } else {
            self.acceptor.on_prepare(slot, ballot, effects)
        };
        if let Ok(accepted) = answer {
            effects.send(coordinator, Message::Promise { slot, ballot, accepted });
        }
    }

    /// Coordinated recovery, the coordinator: phase 1 has begun, without a `Prepare`. Once only:
    /// whether it has used this number, in this life or an earlier one, its acceptor knows.
    pub(crate) fn recover(&mut self, slot: LogIndex, env: &Env<'_>, effects: &mut Effects<Self>) {
        let ballot = recovery(slot, env.cluster);
        let is_unused = self.acceptor.instance(slot).is_none_or(|it| it.promised < ballot);
        let is_open = slot == self.learner.first_unknown() && (is_unused || planted("P79"));
        if ballot.node() != Some(self.id) || !is_open || !self.proposer.may_recover() {
            return;
        }
        if let Ok(accepted) = self.acceptor.on_prepare(slot, ballot, effects) {
            let at = ChosenAt { slot, ballot };
            self.proposer.recover(at);
            self.asked = env.cluster.peers_of(self.id);
            effects.set_timer(Timer::Retry, self.config.retransmit);
            self.promised_here(at, accepted, effects.last_needed());
        }
    }
}
