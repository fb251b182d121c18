//! What Multi-Paxos with a stable leader must cost, with each of its named options.

use super::{Cost, Theory, UNSIGNED};
use consensus_core::quorum::majority;
use synod_algorithms::{Algorithm, Choice};

const NORMAL: &str = "Paxos Made Simple §3, commit piggybacked";
const EXPLICIT: &str = "Paxos Made Moderately Complex §3: commanders tell the decision";
const THRIFTY: &str = "Paxos Made Simple §2.2: a quorum is enough";
const ALONE: &str = "Flexible Paxos §3: a phase-2 quorum of one needs no message";
const SYNCS: &str = "Paxos Made Simple §2.5 and §3: only the acceptance, in every acceptor";

/// The costs of one batch. The leader asks `asked` acceptors beside its own.
pub(super) fn multipaxos(choice: &Choice, nodes: usize) -> Theory {
    let n = nodes as u64;
    let q2 = choice.quorums(nodes).map_or(majority(nodes), |quorums| quorums.phase_2()) as u64;
    let (thrifty, explicit) = (choice.has("sending=thrifty"), choice.has("commits=explicit"));
    let asked = if thrifty { q2 - 1 } else { n - 1 };
    let told = if explicit { n - 1 } else { 0 };
    let source = match () {
        () if explicit => EXPLICIT,
        () if thrifty => THRIFTY,
        () => NORMAL,
    };
    let cost = |formula, value| Cost { formula, source, value };
    let each = cost(if thrifty { "q2-1" } else { "n-1" }, asked);
    let formula = match (thrifty, explicit) {
        (false, false) => "2(n-1)",
        (false, true) => "3(n-1)",
        (true, false) => "2(q2-1)",
        (true, true) => "2(q2-1)+n-1",
    };
    let mut kinds = vec![("accept", each), ("accepted", each)];
    if explicit {
        kinds.push(("commit", cost("n-1", told)));
    }
    let (delays, by) = if q2 == 1 { (2, ALONE) } else { (4, NORMAL) };
    let syncs = |formula, value| Cost { formula, source: SYNCS, value };
    Theory {
        algorithm: Algorithm::MultiPaxos,
        nodes,
        kinds,
        messages: cost(formula, 2 * asked + told),
        delays: Cost { formula: if q2 == 1 { "2" } else { "4" }, source: by, value: delays },
        busiest: cost(formula, 2 * asked + told),
        syncs: syncs("1", 1),
        least_syncs: if asked == n - 1 { syncs("1", 1) } else { syncs("0", 0) },
        made: UNSIGNED,
        checked: UNSIGNED,
        client_checked: UNSIGNED,
    }
}
