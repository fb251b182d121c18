//! What Basic Paxos must cost, with each of its named options.

use super::{Cost, Theory, UNSIGNED};
use consensus_core::Variant;
use consensus_core::quorum::{Quorums, majority};
use synod_algorithms::Choice;

/// Who tells whom what is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Learners {
    Piggybacked,
    Distinguished,
    All,
}

impl Learners {
    fn of(choice: &Choice) -> Self {
        match () {
            () if choice.has("learners=all") => Self::All,
            () if choice.has("learners=distinguished") => Self::Distinguished,
            () => Self::Piggybacked,
        }
    }
}

const PHASES: &str = "Paxos Made Simple §2.2, the proposer is one of the n";
const LEARNING: &str = "Paxos Made Simple §2.3, product or sum of learners and acceptors";
const SYNCS: &str =
    "Paxos Made Simple §2.5: promise and acceptance are stable before they are sent";
const FLEXIBLE: &str = "Flexible Paxos §3: a phase-2 quorum of one needs no message";

const FAST: &str = "Fast Paxos §3.1: no phase 1, a fast quorum votes";
const FAST_SYNCS: &str = "Fast Paxos §3.1: only the vote is stable before it is sent";

/// The costs of one batch. A proposer asks `first` acceptors beside its own to promise, and
/// `second` to accept.
pub(super) fn paxos(choice: &Choice, nodes: usize) -> Theory {
    let n = nodes as u64;
    let majorities = (majority(nodes), majority(nodes));
    let sizes = |quorums: Quorums| (quorums.phase_1(), quorums.phase_2());
    let (q1, q2) = choice.quorums(nodes).map_or(majorities, sizes);
    let (q1, q2) = (q1 as u64, q2 as u64);
    let thrifty = choice.has("sending=thrifty");
    if let Some(votes) = fast_quorum(choice, n, q1) {
        return fast(choice, nodes, if thrifty { votes - 1 } else { n - 1 });
    }
    let (first, second) = if thrifty { (q1 - 1, q2 - 1) } else { (n - 1, n - 1) };
    let learners = Learners::of(choice);
    let accepted = if learners == Learners::All { (second + 1) * (n - 1) } else { second };
    let decided = if learners == Learners::Distinguished { n - 1 } else { 0 };
    let told = if learners == Learners::All { n - 1 } else { decided };
    let [messages, busiest] = formulas(learners, thrifty);
    let kind = |name, formula, source, value| (name, Cost { formula, source, value });
    let [ask_1, ask_2] = if thrifty { ["q1-1", "q2-1"] } else { ["n-1", "n-1"] };
    let each = match (learners, thrifty) {
        (Learners::All, false) => "n(n-1)",
        (Learners::All, true) => "q2(n-1)",
        _ => ask_2,
    };
    let mut kinds = vec![
        kind("prepare", ask_1, PHASES, first),
        kind("promise", ask_1, PHASES, first),
        kind("accept", ask_2, PHASES, second),
        kind("accepted", each, LEARNING, accepted),
    ];
    if decided > 0 {
        kinds.push(kind("decided", "n-1", LEARNING, decided));
    }
    let source = if learners == Learners::Piggybacked { PHASES } else { LEARNING };
    let cost = |formula, value| Cost { formula, source, value };
    let syncs = |formula, value| Cost { formula, source: SYNCS, value };
    // An acceptor that nobody asks writes nothing; who is asked in phase 2 has promised before.
    let asked = u64::from(first == n - 1) + u64::from(second == n - 1);
    Theory {
        algorithm: choice.algorithm,
        nodes,
        kinds,
        messages: cost(messages, 2 * first + second + accepted + decided),
        delays: delays(q1, q2),
        busiest: cost(busiest, 2 * first + 2 * second + told),
        syncs: syncs("2", 2),
        least_syncs: syncs(if asked < 2 { "2, or 0 where not asked" } else { "2" }, asked),
        made: UNSIGNED,
        checked: UNSIGNED,
        client_checked: UNSIGNED,
    }
}

/// Of all messages, and of those that the proposer's node handles: it is the busiest.
fn formulas(learners: Learners, thrifty: bool) -> [&'static str; 2] {
    match (learners, thrifty) {
        (Learners::Piggybacked, false) => ["4(n-1)", "4(n-1)"],
        (Learners::Distinguished, false) => ["5(n-1)", "5(n-1)"],
        (Learners::All, false) => ["(n-1)(n+3)", "5(n-1)"],
        (Learners::Piggybacked, true) => ["2(q1-1)+2(q2-1)", "2(q1-1)+2(q2-1)"],
        (Learners::Distinguished, true) => ["2(q1-1)+2(q2-1)+n-1", "2(q1-1)+2(q2-1)+n-1"],
        (Learners::All, true) => ["2(q1-1)+q2-1+q2(n-1)", "2(q1-1)+2(q2-1)+n-1"],
    }
}

/// Request and reply, and a round trip for each phase that needs another node.
fn delays(q1: u64, q2: u64) -> Cost {
    let (formula, source) = if q2 == 1 { ("4", FLEXIBLE) } else { ("6", PHASES) };
    Cost { formula, source, value: 2 + 2 * u64::from(q1 > 1) + 2 * u64::from(q2 > 1) }
}

/// How many votes choose in the fast round, if slots begin with one: "Fast Paxos" §3.1, twice that
/// and a phase-1 quorum are more than 2n.
fn fast_quorum(choice: &Choice, n: u64, q1: u64) -> Option<u64> {
    let named = choice.variants.iter().find(|name| Variant::key(name) == "fast")?;
    let votes = named.split_once('/').and_then(|(_, votes)| votes.parse().ok());
    Some(votes.unwrap_or((2 * n - q1) / 2 + 1))
}

/// The fast path: a proposer asks so many acceptors beside its own to vote, and nothing before.
fn fast(choice: &Choice, nodes: usize, asked: u64) -> Theory {
    let others = nodes as u64 - 1;
    let all = asked == others;
    let learners = Learners::of(choice);
    let (voted, decided) = match learners {
        Learners::Piggybacked => (asked, 0),
        Learners::Distinguished => (asked, others),
        Learners::All => ((asked + 1) * others, 0),
    };
    let told = if learners == Learners::Piggybacked { 0 } else { others };
    let [ask, votes, messages, busiest] = match (learners, all) {
        (Learners::Piggybacked, true) => ["n-1", "n-1", "2(n-1)", "2(n-1)"],
        (Learners::Distinguished, true) => ["n-1", "n-1", "3(n-1)", "3(n-1)"],
        (Learners::All, true) => ["n-1", "n(n-1)", "(n-1)(n+1)", "3(n-1)"],
        (Learners::Piggybacked, false) => ["qf-1", "qf-1", "2(qf-1)", "2(qf-1)"],
        (Learners::Distinguished, false) => ["qf-1", "qf-1", "2(qf-1)+n-1", "2(qf-1)+n-1"],
        (Learners::All, false) => ["qf-1", "qf(n-1)", "qf-1+qf(n-1)", "2(qf-1)+n-1"],
    };
    let cost = |formula, value| Cost { formula, source: FAST, value };
    let learning = |formula, value| Cost { formula, source: LEARNING, value };
    let syncs = |formula, value| Cost { formula, source: FAST_SYNCS, value };
    let mut kinds = vec![("propose", cost(ask, asked)), ("accepted", learning(votes, voted))];
    if decided > 0 {
        kinds.push(("decided", learning("n-1", decided)));
    }
    Theory {
        algorithm: choice.algorithm,
        nodes,
        kinds,
        messages: cost(messages, asked + voted + decided),
        delays: cost("4", 4),
        busiest: cost(busiest, 2 * asked + told),
        syncs: syncs("1", 1),
        least_syncs: syncs(if all { "1" } else { "1, or 0 where not asked" }, u64::from(all)),
        made: UNSIGNED,
        checked: UNSIGNED,
        client_checked: UNSIGNED,
    }
}
