//! The connectivity suite in the small (`synod connectivity` runs all of it): the cases with a
//! history, and all directed graphs of three nodes, under every algorithm.

use consensus_core::Audit;
use consensus_core::mutant::plant;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::connectivity::{self, Case, Graph, NAMED, Verdict, Way};

struct RunCase(Case);

impl Visitor for RunCase {
    type Output = Option<Verdict>;

    fn visit<P: Audit>(self) -> Self::Output {
        self.0.is_possible::<P>().then(|| connectivity::run::<P>(&self.0, 7))
    }
}

/// Runs the case and demands that nothing is wrong with it.
fn clean(algorithm: Algorithm, case: &Case) -> Option<Verdict> {
    let verdict = algorithm.dispatch(RunCase(*case))?;
    assert_eq!(verdict.violation, None, "{algorithm}: {case}");
    Some(verdict)
}

/// Omni-Paxos (EuroSys 2023), §2; Howard and Abraham (2020); the outage at Cloudflare (2020). The
/// aim is six election timeouts.
#[test]
fn cases_with_a_history_go_on() {
    for algorithm in Algorithm::ALL {
        for (named, way) in NAMED.iter().flat_map(|it| Way::ALL.map(|way| (it, way))) {
            let Some(verdict) = clean(algorithm, &named.case(way)) else { continue };
            if verdict.must_live {
                let took = verdict.progress.expect("it went on");
                assert!(took <= 6.0, "{algorithm}: {}, {way}: took {took}", named.name);
            }
        }
    }
}

/// Whoever reaches a quorum both ways leads in the end, and nobody else.
#[test]
fn every_directed_graph_of_three_nodes_goes_on_where_it_can() {
    for algorithm in Algorithm::ALL {
        for way in Way::ALL {
            for case in connectivity::all(&Graph::directed(3), way) {
                if let Some(verdict) = clean(algorithm, &case) {
                    assert_eq!(verdict.must_live, verdict.progress.is_some(), "{case}");
                }
            }
        }
    }
}

/// Of five nodes there are too many directed graphs to run them all here: some are drawn. The aim
/// is six election timeouts, and whoever is drawn reaches a quorum where replicas may crash.
#[test]
fn drawn_graphs_of_five_nodes_go_on() {
    let cases = connectivity::sample(5, 8, 1);
    assert_eq!(cases, connectivity::sample(5, 8, 1), "a seed is a sample");
    assert_ne!(cases, connectivity::sample(5, 8, 2));
    for algorithm in Algorithm::ALL {
        for case in &cases {
            let Some(verdict) = clean(algorithm, case) else { continue };
            assert!(verdict.must_live || algorithm == Algorithm::Pbft, "{case}");
            let took = verdict.progress.filter(|_| verdict.must_live);
            assert!(took.is_none_or(|took| took <= 6.0), "{algorithm}: {case}: {took:?}");
        }
    }
}

/// A case is a run, bit for bit.
#[test]
fn a_case_and_a_seed_are_a_run() {
    let case = NAMED[0].case(Way::Busy);
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.dispatch(RunCase(case)), algorithm.dispatch(RunCase(case)));
    }
}

/// The first cases of the selection, until one finds something.
struct Hunt(u64);

impl Visitor for Hunt {
    type Output = bool;

    fn visit<P: Audit>(self) -> Self::Output {
        connectivity::hunt::<P>(self.0).is_some()
    }
}

/// Who is preferred and reaches nobody but the leader must not be told to lead: it deposes one
/// leader after the other (O13, O14).
#[test]
fn a_preferred_node_that_would_lose_is_found() {
    for (algorithm, name) in [(Algorithm::Raft, "R144"), (Algorithm::MultiPaxos, "M140")] {
        plant(Some(name));
        let found = algorithm.dispatch(Hunt(48));
        plant(None);
        assert!(found, "{algorithm}: {name} is not found");
        assert!(!algorithm.dispatch(Hunt(48)), "{algorithm} is found without it");
    }
}
