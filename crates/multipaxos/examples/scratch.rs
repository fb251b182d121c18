use std::collections::BTreeMap;
use synod_multipaxos::{MultiPaxos, MUTANTS};
use synod_sim::{Options, check};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seeds: u64 = args[1].parse().unwrap();
    let only = args.get(2).cloned();
    for mutant in MUTANTS {
        if only.as_deref().is_some_and(|o| o != mutant.name) { continue; }
        #[cfg(feature = "mutants")]
        consensus_core::mutant::plant(Some(mutant.name));
        let mut found: BTreeMap<&str, (u64, u64, String)> = BTreeMap::new();
        for seed in 0..seeds {
            let r = check::<MultiPaxos>(seed, &Options::for_seed::<MultiPaxos>(seed));
            if let Some(v) = r.violation {
                found.entry(v.oracle).or_insert((seed, 0, v.to_string())).1 += 1;
            }
        }
        println!("{} {:?}", mutant.name, mutant.oracles);
        for (o, (s, n, d)) in found { println!("   {o} x{n} first {s}: {}", &d[..d.len().min(200)]); }
    }
    #[cfg(feature = "mutants")]
    consensus_core::mutant::plant(None);
    let (mut faults, mut marks) = (BTreeMap::new(), BTreeMap::new());
    let (mut ev, mut ops, mut rec) = (0, 0, vec![]);
    for seed in 0..seeds {
        let r = check::<MultiPaxos>(seed, &Options::for_seed::<MultiPaxos>(seed));
        if let Some(v) = r.violation { println!("CORRECT BUILD seed {seed}: {v}"); }
        ev += r.events; ops += r.operations; rec.extend(r.recovery);
        for (f, c) in r.faults { *faults.entry(f).or_insert(0) += c; }
        for (f, c) in r.marks { *marks.entry(f).or_insert(0) += c; }
    }
    rec.sort_unstable();
    println!("{ev} events {ops} ops rec p50 {:?} p99 {:?} max {:?}\n{faults:?}\n{marks:?}", rec.get(rec.len()/2), rec.get(rec.len()*99/100), rec.last());
}
