//! What each algorithm must cost in the quiet world: formulas, their values, and where they come
//! from.
//!
//! Conventions. One *message* is one unicast between different replicas, counted where it is sent:
//! a broadcast is n − 1. A message to oneself costs nothing; clients are counted apart. One *delay*
//! is one one-way hop; client delays run from the client's sending to its accepting the result,
//! with the client at node 0, which leads where there is a leader. All costs are those of one
//! *batch*, one log entry: the cost of a command is that divided by the commands in the batch,
//! except signatures of clients, which every command brings along.

mod multipaxos;
mod paxos;

use consensus_core::FaultModel;
use std::fmt::Write as _;
use synod_algorithms::{Algorithm, Choice};

/// A cost: how it is computed, where that is said, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// As a function of n, the number of replicas.
    pub formula: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// For this n, for one batch.
    pub value: u64,
}

/// Everything that one batch must cost under one algorithm with n replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theory {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// How many replicas.
    pub nodes: usize,
    /// Messages of each kind.
    pub kinds: Vec<(&'static str, Cost)>,
    /// Messages of all kinds together.
    pub messages: Cost,
    /// Delays that the client sees.
    pub delays: Cost,
    /// Messages that the busiest node sends and receives.
    pub busiest: Cost,
    /// Syncs at the node that syncs most.
    pub syncs: Cost,
    /// Syncs at the node that syncs least; fewer where not all are asked.
    pub least_syncs: Cost,
    /// Signatures that replicas make over messages to replicas, all together.
    pub made: Cost,
    /// Signatures of replicas that replicas check, all together.
    pub checked: Cost,
    /// Signatures of clients that replicas check, all together, for every *command*.
    pub client_checked: Cost,
}

impl Theory {
    /// Of this algorithm, with its named options, with so many replicas.
    pub fn of(choice: impl Into<Choice>, nodes: usize) -> Self {
        let choice = choice.into();
        let (algorithm, n) = (choice.algorithm, nodes as u64);
        match algorithm {
            Algorithm::Paxos => paxos::paxos(&choice, nodes),
            Algorithm::MultiPaxos => multipaxos::multipaxos(&choice, nodes),
            Algorithm::Raft => {
                let syncs = "the leader's beside the followers', Raft thesis §10.2.1";
                let kinds = ["append-entries", "append-reply"];
                stable_leader(algorithm, n, kinds, ["Raft §5.3", syncs])
            }
            Algorithm::Pbft => pbft(n),
        }
    }

    /// The fewest replicas that survive f faults.
    pub fn min_nodes(algorithm: Algorithm, f: usize) -> usize {
        match algorithm.info().faults {
            FaultModel::Crash => 2 * f + 1,
            FaultModel::Byzantine => 3 * f + 1,
        }
    }
}

/// Nothing is signed where replicas may only crash.
const UNSIGNED: Cost = Cost { formula: "0", source: "crash faults only: nothing signed", value: 0 };

/// One round trip between the leader and each of the others.
fn stable_leader(
    algorithm: Algorithm,
    n: u64,
    kinds: [&'static str; 2],
    [source, syncs]: [&'static str; 2],
) -> Theory {
    let cost = |formula, value| Cost { formula, source, value };
    let each = cost("n-1", n - 1);
    let syncs = Cost { formula: "1", source: syncs, value: 1 };
    Theory {
        algorithm,
        nodes: n as usize,
        kinds: kinds.map(|kind| (kind, each)).to_vec(),
        messages: cost("2(n-1)", 2 * (n - 1)),
        delays: cost("4", 4),
        busiest: cost("2(n-1)", 2 * (n - 1)),
        syncs,
        least_syncs: syncs,
        made: UNSIGNED,
        checked: UNSIGNED,
        client_checked: UNSIGNED,
    }
}

fn pbft(n: u64) -> Theory {
    let source = "Castro & Liskov, OSDI '99, §4.2";
    let cost = |formula, value| Cost { formula, source, value };
    let source_of_syncs =
        "Synod: what was pre-prepared, what was prepared (the paper writes nothing)";
    let syncs = Cost { formula: "2", source: source_of_syncs, value: 2 };
    Theory {
        algorithm: Algorithm::Pbft,
        nodes: n as usize,
        kinds: vec![
            ("pre-prepare", cost("n-1", n - 1)),
            ("prepare", cost("(n-1)^2", (n - 1) * (n - 1))),
            ("commit", cost("n(n-1)", n * (n - 1))),
        ],
        messages: cost("2n(n-1)", 2 * n * (n - 1)),
        delays: cost("5", 5),
        busiest: cost("4(n-1)", 4 * (n - 1)),
        syncs,
        least_syncs: syncs,
        made: cost("2n", 2 * n),
        checked: cost("2n(n-1)", 2 * n * (n - 1)),
        client_checked: cost("n", n),
    }
}

/// The formulas with their sources, and the messages of a command for these n: no run.
pub fn theory(ns: &[usize]) -> String {
    let mut text = String::from(CONVENTIONS);
    for algorithm in Algorithm::ALL {
        formulas(algorithm, &mut text);
    }
    text.push_str("\nMessages of a command, batch 1 (divide by the batch for larger ones)\n\n");
    let _ = write!(text, "{:>5} {:>8} {:>8}", "n", "f crash", "f byz.");
    for algorithm in Algorithm::ALL {
        let _ = write!(text, " {:>11}", algorithm.name());
    }
    text.push('\n');
    for &n in ns.iter().filter(|n| **n >= 1) {
        let _ = write!(text, "{n:>5} {:>8} {:>8}", (n - 1) / 2, (n - 1) / 3);
        for algorithm in Algorithm::ALL {
            let _ = write!(text, " {:>11}", Theory::of(algorithm, n).messages.value);
        }
        text.push_str(if n < 4 { "   pbft survives no fault here\n" } else { "\n" });
    }
    text
}

const CONVENTIONS: &str = "\
What a command must cost (quiet world: fixed link delay, no loss, no timer fires)

  One message is one unicast between different replicas; a broadcast is n-1, a message to oneself
  is none. Client traffic, heartbeats, elections and repairs are counted apart. One delay is one
  one-way hop; client delays include request and reply, the client is at the leader (node 0).
  Costs are those of one batch; divide by the commands in it. Signatures of clients are checked
  for every command.
";

fn formulas(algorithm: Algorithm, text: &mut String) {
    let info = algorithm.info();
    let theory = Theory::of(algorithm, 4);
    let needs = match info.faults {
        FaultModel::Crash => "n >= 2f+1, crash faults",
        FaultModel::Byzantine => "n >= 3f+1, Byzantine faults",
    };
    let _ = writeln!(text, "\n{} ({}; {needs})", info.title, info.paper);
    let mut line = |name: &str, cost: &Cost| {
        let _ = writeln!(text, "  {name:<24} {:<9} {}", cost.formula, cost.source);
    };
    line("messages", &theory.messages);
    for (kind, cost) in &theory.kinds {
        line(&format!("  {kind}"), cost);
    }
    line("client delays", &theory.delays);
    line("busiest node handles", &theory.busiest);
    line("syncs at each node", &theory.syncs);
    line("signatures made", &theory.made);
    line("signatures checked", &theory.checked);
    line("client signatures", &theory.client_checked);
    for choice in Choice::variations(algorithm) {
        let about = algorithm.variants().iter().find(|variant| choice.has(variant.name));
        let _ = writeln!(
            text,
            "  with {}: {}",
            choice.variants.join("+"),
            about.expect("listed").about
        );
        let with = Theory::of(choice, 4);
        for (name, cost, usual) in [
            ("messages", &with.messages, &theory.messages),
            ("client delays", &with.delays, &theory.delays),
            ("busiest node handles", &with.busiest, &theory.busiest),
            ("syncs where fewest", &with.least_syncs, &theory.least_syncs),
        ] {
            if cost.formula != usual.formula {
                let _ = writeln!(text, "    {name:<22} {:<9} {}", cost.formula, cost.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The golden numbers, replica messages of a command: n, Basic Paxos, Multi-Paxos and Raft,
    /// PBFT.
    const GOLDEN: [(usize, u64, u64, u64); 8] = [
        (3, 8, 4, 12),
        (4, 12, 6, 24),
        (5, 16, 8, 40),
        (7, 24, 12, 84),
        (10, 36, 18, 180),
        (13, 48, 24, 312),
        (25, 96, 48, 1200),
        (100, 396, 198, 19800),
    ];

    #[test]
    fn the_formulas_give_the_golden_numbers() {
        for (n, paxos, leader, pbft) in GOLDEN {
            let messages = |algorithm| Theory::of(algorithm, n).messages.value;
            assert_eq!(Algorithm::ALL.map(messages), [paxos, leader, leader, pbft], "n = {n}");
        }
    }

    /// One message of the normal case, drawn as in the papers: kind, sender, receiver, and the hop,
    /// counted from the client's request, in which it arrives.
    type Arrow = (&'static str, usize, usize, u64);

    fn broadcast(kind: &'static str, n: usize, from: usize, hop: u64) -> Vec<Arrow> {
        (0..n).filter(|to| *to != from).map(|to| (kind, from, to, hop)).collect()
    }

    fn answers(kind: &'static str, n: usize, to: usize, hop: u64) -> Vec<Arrow> {
        (0..n).filter(|from| *from != to).map(|from| (kind, from, to, hop)).collect()
    }

    /// The message graph of one command; node 0 proposes, leads or is primary.
    fn graph(algorithm: Algorithm, n: usize) -> Vec<Arrow> {
        match algorithm {
            Algorithm::Paxos => [
                broadcast("prepare", n, 0, 2),
                answers("promise", n, 0, 3),
                broadcast("accept", n, 0, 4),
                answers("accepted", n, 0, 5),
            ]
            .concat(),
            Algorithm::MultiPaxos => {
                [broadcast("accept", n, 0, 2), answers("accepted", n, 0, 3)].concat()
            }
            Algorithm::Raft => {
                [broadcast("append-entries", n, 0, 2), answers("append-reply", n, 0, 3)].concat()
            }
            Algorithm::Pbft => {
                let mut arrows = broadcast("pre-prepare", n, 0, 2);
                for backup in 1..n {
                    arrows.extend(broadcast("prepare", n, backup, 3));
                }
                for replica in 0..n {
                    arrows.extend(broadcast("commit", n, replica, 4));
                }
                arrows
            }
        }
    }

    /// The second computation: the same costs by counting arrows one by one.
    #[test]
    fn counting_the_arrows_of_the_message_graph_gives_the_formulas() {
        for algorithm in Algorithm::ALL {
            for n in [3, 4, 5, 7, 10, 13] {
                let theory = Theory::of(algorithm, n);
                let arrows = graph(algorithm, n);
                let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
                let mut handled = vec![0; n];
                let mut signed = BTreeSet::new();
                for (kind, from, to, _) in &arrows {
                    *kinds.entry(kind).or_default() += 1;
                    handled[*from] += 1;
                    handled[*to] += 1;
                    signed.insert((kind, from)); // One signature serves all receivers.
                }
                let last = arrows.iter().map(|arrow| arrow.3).max().expect("a message");
                let kind = |(name, cost): &(&'static str, Cost)| (*name, cost.value);
                assert_eq!(kinds, theory.kinds.iter().map(kind).collect(), "{algorithm} n = {n}");
                assert_eq!(arrows.len() as u64, theory.messages.value);
                assert_eq!(last + 1, theory.delays.value, "and one hop for the reply");
                assert_eq!(handled.iter().max(), Some(&theory.busiest.value));
                if algorithm == Algorithm::Pbft {
                    assert_eq!(signed.len() as u64, theory.made.value);
                    assert_eq!(arrows.len() as u64, theory.checked.value);
                } else {
                    assert_eq!(theory.made.value, 0);
                }
            }
        }
    }

    /// "Fast Paxos" §3.1: the proposer's round trip, and nothing else; a third of the delays less
    /// than Basic Paxos, and half of the messages.
    #[test]
    fn the_fast_path_is_one_round_trip() {
        for n in [3, 4, 5, 7, 10] {
            let fast: Choice = "paxos:fast=on".parse().expect("an option");
            let fast = Theory::of(fast, n);
            let arrows = [broadcast("propose", n, 0, 2), answers("accepted", n, 0, 3)].concat();
            let last = arrows.iter().map(|arrow| arrow.3).max().expect("a message");
            assert_eq!((arrows.len() as u64, last + 1), (fast.messages.value, fast.delays.value));
            let usual = Theory::of(Algorithm::Paxos, n);
            assert_eq!(2 * fast.messages.value, usual.messages.value);
            assert_eq!(fast.delays.value + 2, usual.delays.value);
            assert_eq!(2 * fast.syncs.value, usual.syncs.value);
        }
    }

    /// PBFT/Raft = n at every n, and PBFT has no bottleneck in messages: a backup handles as many
    /// as the primary.
    #[test]
    fn pbft_costs_n_times_raft_and_loads_all_nodes_alike() {
        for n in 4..40 {
            let pbft = Theory::of(Algorithm::Pbft, n);
            let raft = Theory::of(Algorithm::Raft, n);
            assert_eq!(pbft.messages.value, n as u64 * raft.messages.value);
            assert_eq!(pbft.busiest.value * n as u64, 2 * pbft.messages.value);
        }
    }

    #[test]
    fn the_printed_page_has_every_formula_and_every_n_asked_for() {
        let page = theory(&[3, 13]);
        for part in ["4(n-1)", "2(n-1)", "2n(n-1)", "(n-1)^2", "OSDI '99", "Raft §5.3", "312"] {
            assert!(page.contains(part), "{part} is missing in:\n{page}");
        }
    }
}
