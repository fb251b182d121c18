//! Clients that ask a real cluster, closed or open loop.

use super::cluster::RealCluster;
use super::{Measured, Plan};
use crate::options::Load;
use crate::samples::Samples;
use crate::simulated::latency::warm_up;
use bytes::Bytes;
use consensus_core::{Audit, Counters, Outcome, Position};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use synod_kv::KvCommand;
use synod_runtime::ClusterClient;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

/// An operation that has ended.
struct Done {
    /// Its place in the workload.
    place: usize,
    /// When it was due, or begun in a closed loop.
    from: Instant,
    /// When it was answered.
    to: Instant,
    /// Where it was committed; nothing if it was not acknowledged.
    position: Option<Position>,
}

/// Fills the store, then gives the cluster the workload and counts.
pub(super) async fn run<P: Audit>(
    cluster: &RealCluster<P>,
    plan: Plan<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Measured, String> {
    let clients = (0..plan.sessions).map(|number| cluster.client(number));
    let clients = open(clients.collect::<Result<_, _>>()?).await?;
    let load = shares(plan.workload.load(), plan.sessions);
    let (clients, _) = ask(clients, load, Load::Closed(plan.sessions), &mut |_| {}).await?;

    let before = cluster.counters();
    let operations = plan.workload.operations();
    let total = operations.len() as u64;
    let shares = shares(operations, plan.sessions);
    let count = &mut |done| progress(done, total);
    let (_clients, done) = ask(clients, shares, plan.load, count).await?;
    let after = cluster.counters();
    let counters: Vec<Counters> =
        after.iter().zip(&before).map(|(after, before)| after.since(before)).collect();
    Ok(measured(&done, plan.sessions, counters))
}

/// Opens every client's session with a read, so that what follows is commands only.
async fn open(mut clients: Vec<ClusterClient>) -> Result<Vec<ClusterClient>, String> {
    let read = KvCommand::Get { key: Bytes::from_static(b"nothing") }.encode();
    let mut opening = JoinSet::new();
    for (number, mut client) in clients.drain(..).enumerate() {
        let read = read.clone();
        opening.spawn(async move {
            let outcome = client.call(read).await;
            (number, client, outcome)
        });
    }
    let mut open: Vec<_> = opening.join_all().await;
    open.sort_unstable_by_key(|(number, ..)| *number);
    let check = |(_, client, outcome)| match outcome {
        Ok(Outcome::Committed { .. }) => Ok(client),
        Ok(other) => Err(format!("a session could not be opened: {other:?}")),
        Err(error) => Err(format!("a session could not be opened: {error}")),
    };
    open.into_iter().map(check).collect()
}

/// Who asks what: client `k` of `c` gets the operations k, k + c, k + 2c …, with their places.
fn shares(operations: &[Bytes], clients: usize) -> Vec<Vec<(usize, Bytes)>> {
    let share = |client| {
        let mine = operations.iter().enumerate().skip(client).step_by(clients);
        mine.map(|(place, operation)| (place, operation.clone())).collect()
    };
    (0..clients).map(share).collect()
}

/// Lets every client ask its share, and gives the clients back.
async fn ask(
    clients: Vec<ClusterClient>,
    shares: Vec<Vec<(usize, Bytes)>>,
    load: Load,
    progress: &mut dyn FnMut(u64),
) -> Result<(Vec<ClusterClient>, Vec<Done>), String> {
    let operations: usize = shares.iter().map(Vec::len).sum();
    let (report, mut reports) = mpsc::unbounded_channel();
    let (starts, dues): (Vec<_>, Vec<_>) = match load {
        Load::Closed(_) => (Vec::new(), clients.iter().map(|_| None).collect()),
        Load::Open(_) => {
            let channels = clients.iter().map(|_| mpsc::unbounded_channel());
            channels.map(|(start, due)| (start, Some(due))).unzip()
        }
    };
    let mut asking = JoinSet::new();
    for (number, ((client, share), due)) in clients.into_iter().zip(shares).zip(dues).enumerate() {
        let report = report.clone();
        asking.spawn(async move { (number, one_client(client, share, due, report).await) });
    }
    drop(report);
    if let Load::Open(rate) = load {
        tokio::task::spawn_blocking(move || pace(&starts, operations, rate));
    }
    let mut done = Vec::with_capacity(operations);
    while let Some(one) = reports.recv().await {
        done.push(one);
        if done.len() % 64 == 0 {
            progress(done.len() as u64);
        }
    }
    let mut back = asking.join_all().await;
    back.sort_unstable_by_key(|(number, _)| *number);
    let clients = back.into_iter().map(|(_, client)| client).collect::<Result<_, _>>()?;
    Ok((clients, done))
}

/// Asks one after the other; in an open loop not before an operation is due. Time counts from when
/// it was due, however late the client comes to it.
async fn one_client(
    mut client: ClusterClient,
    share: Vec<(usize, Bytes)>,
    mut due: Option<UnboundedReceiver<Instant>>,
    report: UnboundedSender<Done>,
) -> Result<ClusterClient, String> {
    for (place, operation) in share {
        let from = match &mut due {
            None => Instant::now(),
            Some(due) => due.recv().await.ok_or("the clock of the load has stopped")?,
        };
        let outcome = client.call(operation).await.map_err(|error| error.to_string())?;
        let to = Instant::now();
        let position = match outcome {
            Outcome::Committed { position, .. } => Some(position),
            Outcome::Refused(_) | Outcome::Unknown => None,
        };
        if position.is_none() {
            client.resume().await.ok();
        }
        // The receiver waits for all reports.
        let _ = report.send(Done { place, from, to, position });
    }
    Ok(client)
}

/// Starts the operations of an open load at even distances. A thread of its own: tokio's timers
/// are too coarse for it.
fn pace(starts: &[UnboundedSender<Instant>], operations: usize, rate: f64) {
    let begun = Instant::now();
    for place in 0..operations {
        let due = begun + Duration::from_secs_f64(place as f64 / rate);
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        if starts[place % starts.len()].send(due).is_err() {
            return; // The client has given up and says why itself.
        }
    }
}

/// Cuts the warm-up off and looks at what is left.
fn measured(done: &[Done], sessions: usize, counters: Vec<Counters>) -> Measured {
    let cut = warm_up(done.len(), sessions);
    let counted = || done.iter().filter(|one| one.place >= cut);
    let latencies = counted().filter(|one| one.position.is_some());
    let begun = counted().map(|one| one.from).min();
    let ended = counted().map(|one| one.to).max();
    let elapsed = match (begun, ended) {
        (Some(begun), Some(ended)) => ended.saturating_duration_since(begun),
        _ => Duration::ZERO,
    };
    let mut positions = BTreeSet::new();
    let twice = done.iter().filter_map(|one| one.position).find(|at| !positions.insert(*at));
    Measured {
        latencies: Samples::of(latencies.map(|one| one.to - one.from)),
        elapsed,
        operations: done.len(),
        failed: done.iter().filter(|one| one.position.is_none()).count(),
        counters,
        violation: twice.map(|at| format!("two operations were acknowledged at {at:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::LogIndex;

    fn done(place: usize, from: Instant, millis: u64, index: u64) -> Done {
        let position = Some(Position { index: LogIndex(index), offset: 0 });
        Done { place, from, to: from + Duration::from_millis(millis), position }
    }

    /// The warm-up is neither in the latencies nor in the time that throughput is taken over.
    #[test]
    fn the_warm_up_is_cut() {
        let start = Instant::now();
        let at = |place: u64| start + Duration::from_millis(10 * place);
        let all: Vec<_> = (0..40)
            .map(|place| done(place as usize, at(place), if place < 2 { 500 } else { 5 }, place))
            .collect();
        let measured = measured(&all, 2, Vec::new());
        assert_eq!(measured.latencies.len(), 38);
        assert_eq!(measured.latencies.percentile(1.0), Duration::from_millis(5));
        assert_eq!(measured.elapsed, Duration::from_millis(10 * 37 + 5));
        assert_eq!(measured.violation, None);
    }

    #[test]
    fn one_place_in_the_log_cannot_hold_two_acknowledged_operations() {
        let start = Instant::now();
        let all = [done(0, start, 1, 7), done(1, start, 1, 7)];
        assert!(measured(&all, 1, Vec::new()).violation.is_some());
    }

    #[test]
    fn the_shares_of_all_clients_are_the_workload() {
        let operations: Vec<_> = (0..10u8).map(|number| Bytes::from(vec![number])).collect();
        let shares = shares(&operations, 3);
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 3]);
        let mut places: Vec<_> = shares.concat().into_iter().map(|(place, _)| place).collect();
        places.sort_unstable();
        assert_eq!(places, (0..10).collect::<Vec<_>>());
    }
}
