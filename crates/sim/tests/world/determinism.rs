//! A seed is a world, bit for bit.

use crate::toy::Toy;
use consensus_core::{NodeId, NodeSet};
use synod_sim::{Options, check, chronicle, trace};

#[test]
fn two_runs_of_a_seed_are_equal_and_watching_changes_nothing() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let mut options = Options::for_seed::<Toy>(seed);
        options.core_includes = NodeSet::only(NodeId(0));
        let report = check::<Toy>(seed, &options);
        assert_eq!(report, check::<Toy>(seed, &options), "seed {seed}");
        let mut lines = 0u64;
        assert_eq!(report, trace::<Toy>(seed, &options, &mut |_| lines += 1), "seed {seed}");
        assert!(lines > report.operations, "a trace tells what happened");
        let (taped, module) = chronicle::<Toy>(seed, &options, 50);
        assert_eq!(report, taped, "seed {seed}");
        assert_eq!(module.matches("[event |-> ").count(), 50, "so many steps were asked for");
        hashes.insert(report.hash);
    }
    assert_eq!(hashes.len(), 12, "another seed is another run");
}
