//! How long a healed quorum takes until it decides again, whatever is broken around it. The aim is
//! six election timeouts in 99 of 100 runs (numbers to aim for, 5.2). What a client waits for is
//! more: it asks others first, who are gone, and for one command after the other; `synod simulate`
//! prints both.

use consensus_core::Audit;
use core::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, check};

/// Runs of each algorithm.
const SEEDS: u64 = 200;
/// Election timeouts, of the longest kind.
const AIM: u32 = 6;

/// The times in units of the longest election timeout, the shortest first.
struct Times;

impl Visitor for Times {
    type Output = Vec<f64>;

    fn visit<P: Audit>(self) -> Self::Output {
        let time = |seed: u64| {
            let options = Options::for_seed::<P>(seed);
            let unit: Duration = options.timing.election_max;
            let decided = check::<P>(seed, &options).decided;
            Some(decided?.as_secs_f64() / unit.as_secs_f64())
        };
        let mut times: Vec<f64> = (0..SEEDS).filter_map(time).collect();
        times.sort_by(f64::total_cmp);
        times
    }
}

fn is_in_time(algorithm: Algorithm) {
    let times = algorithm.dispatch(Times);
    assert!(times.len() as u64 > SEEDS * 9 / 10, "only {} runs came so far", times.len());
    let nth = times[times.len() * 99 / 100];
    assert!(nth <= f64::from(AIM), "{algorithm}: {nth} election timeouts in 99 of 100 runs");
}

#[test]
fn paxos_decides_again_in_time() {
    is_in_time(Algorithm::Paxos);
}

#[test]
fn multipaxos_decides_again_in_time() {
    is_in_time(Algorithm::MultiPaxos);
}

#[test]
fn raft_decides_again_in_time() {
    is_in_time(Algorithm::Raft);
}
