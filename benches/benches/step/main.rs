//! The pure step: three (PBFT: four) replicas in one thread, messages handed over in memory, a disk
//! that is durable at once, no encoding. What remains is the algorithm itself, checks included,
//! beside a hand-written floor: what must be done to copy a command to two followers and hear from
//! them.
//!
//! Each iteration proposes 1, 16, 256 or 1024 commands, each a batch of its own as 1 to 1024
//! clients would send them, and runs until all are committed at the first replica and no message is
//! left.

mod cluster;
mod floor;

use cluster::InMemory;
use consensus_core::Audit;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use floor::Floor;
use std::hint::black_box;
use std::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_benches::theory::Theory;

const OUTSTANDING: [usize; 4] = [1, 16, 256, 1024];
const SIZES: [usize; 2] = [16, 256];

struct Bench<'a> {
    criterion: &'a mut Criterion,
    nodes: usize,
}

impl Visitor for Bench<'_> {
    type Output = ();

    fn visit<P: Audit>(self) {
        count::<P>(self.nodes);
        for size in SIZES {
            let mut group = self.criterion.benchmark_group(format!("{}/{size}B", P::INFO.name));
            let warm = InMemory::<P>::ready(self.nodes, size);
            for outstanding in OUTSTANDING {
                group.throughput(Throughput::Elements(outstanding as u64));
                let id = BenchmarkId::from_parameter(outstanding);
                group.bench_function(id, |bencher| {
                    bencher.iter_batched_ref(
                        || warm.clone(),
                        |cluster| cluster.round(black_box(outstanding)),
                        BatchSize::SmallInput,
                    );
                });
            }
        }
    }
}

/// Says how many messages a commit took, so that a fast step that sends too much is seen.
#[expect(clippy::print_stderr, reason = "a benchmark talks to the terminal")]
fn count<P: Audit>(nodes: usize) {
    for outstanding in OUTSTANDING {
        let mut cluster = InMemory::<P>::ready(nodes, SIZES[0]);
        let (messages, commits) = cluster.round(outstanding);
        eprintln!(
            "{}: {outstanding} outstanding, n = {nodes}: {:.3} messages a command",
            P::INFO.name,
            messages as f64 / commits as f64
        );
    }
}

fn algorithms(criterion: &mut Criterion) {
    for algorithm in Algorithm::ALL {
        let nodes = Theory::min_nodes(algorithm, 1);
        algorithm.dispatch(Bench { criterion, nodes });
    }
}

fn floor(criterion: &mut Criterion) {
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("floor/{size}B"));
        for outstanding in OUTSTANDING {
            group.throughput(Throughput::Elements(outstanding as u64));
            group.bench_function(BenchmarkId::from_parameter(outstanding), |bencher| {
                bencher.iter_batched_ref(
                    || Floor::new(size),
                    |floor| floor.round(black_box(outstanding)),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

/// Short: one bench of many, and the whole list is to end within some minutes.
fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = settings(); targets = floor, algorithms);
criterion_main!(benches);
