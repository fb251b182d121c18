//! How much the runtime carries, with an algorithm that costs next to nothing: three nodes in this
//! process, loopback TCP, real files and syncs.
//!
//! ```text
//! cargo bench -p synod-runtime --bench throughput -- [clients] [seconds] [bytes] [pipeline] [dir]
//! ```

#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

#[allow(dead_code, reason = "it uses a part")]
#[path = "../tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use consensus_core::{NodeId, Outcome};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Counter, ToyCluster};
use synod_runtime::{Files, Limits, start};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` adds a word of its own.
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut number = |default: u64| -> Result<u64, std::num::ParseIntError> {
        arguments.next().map_or(Ok(default), |text| text.parse())
    };
    let (clients, seconds, payload) = (number(64)?, number(5)?, number(128)?);
    let pipeline = number(Limits::default().pipeline as u64)?;
    let load = Load { clients, seconds, payload: payload as usize, pipeline: pipeline as usize };
    let dir = arguments.next().map(PathBuf::from);
    tokio::runtime::Runtime::new()?.block_on(run(load, dir))
}

struct Load {
    clients: u64,
    seconds: u64,
    payload: usize,
    pipeline: usize,
}

async fn run(load: Load, dir: Option<PathBuf>) -> Result<(), Box<dyn std::error::Error>> {
    let Load { clients, seconds, payload, pipeline } = load;
    let mut cluster = ToyCluster::<false>::unstarted(3);
    for node in cluster.cluster.nodes().iter() {
        let mut config = cluster.config(node);
        config.create = true;
        config.storage = Arc::new(Files);
        config.limits.pipeline = pipeline;
        if let Some(dir) = &dir {
            config.data_dir = dir.join(node.to_string());
        }
        cluster.nodes.insert(node, start(config, Counter::default()).await?);
    }
    let payload = Bytes::from(vec![7; payload]);
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (mut client, payload) = (cluster.client(), payload.clone());
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < end {
                let sent = Instant::now();
                let outcome = client.call(payload.clone()).await;
                assert!(matches!(outcome, Ok(Outcome::Committed { .. })), "{outcome:?}");
                waits.push(sent.elapsed());
            }
            waits
        });
    }
    let mut waits = Vec::new();
    while let Some(done) = tasks.join_next().await {
        waits.extend(done?);
    }
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    let leader = cluster.nodes[&NodeId(0)].counters();
    println!(
        "{clients} clients: {:.0} commands/s, p50 {:?}, p99 {:?}, {:.2} syncs/command, \
         {:.1} commands/entry",
        waits.len() as f64 / began.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99),
        leader.syncs as f64 / waits.len() as f64,
        waits.len() as f64 / leader.writes as f64,
    );
    Ok(())
}
