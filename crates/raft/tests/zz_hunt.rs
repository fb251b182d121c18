use synod_raft::Raft;
use synod_sim::{Options, check};
#[test]
fn hunt() {
    let from: u64 = std::env::var("FROM").map_or(0, |s| s.parse().unwrap());
    let to: u64 = std::env::var("TO").map_or(300, |s| s.parse().unwrap());
    let mut marks = std::collections::BTreeMap::<&'static str, u64>::new();
    let mut bad = 0;
    for seed in from..to {
        let report = check::<Raft>(seed, &Options::for_seed::<Raft>(seed));
        for (m, n) in report.marks.iter() { *marks.entry(m).or_default() += *n as u64; }
        if let Some(v) = &report.violation { bad += 1; eprintln!("seed {seed}: {v:?}"); }
    }
    for m in <Raft as consensus_core::Audit>::MARKS { eprintln!("MARK {m}: {}", marks.get(m).copied().unwrap_or(0)); }
    eprintln!("BAD {bad}");
}
