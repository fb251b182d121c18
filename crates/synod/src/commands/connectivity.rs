//! `synod connectivity`: links that are cut for ever, all graphs of them, the leader at each place.

mod table;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use crate::progress::Progress;
use consensus_core::{Audit, NodeId};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::connectivity::{self, Case, Graph, NAMED, Verdict, Way};
use table::{Row, Run};

/// Flags of `synod connectivity`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which algorithms: paxos, multipaxos, raft, pbft, a comma-separated list of them, or all
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = super::parse_algorithms)]
    algo: super::AlgorithmList,
    /// All graphs of so many nodes, and nothing else [default: the page of the docs: the named
    /// cases, 3 and 4 nodes directed, 5 undirected, and some of 5 directed]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(2..=8))]
    nodes: Option<u8>,
    /// Every link may work in one direction only (the default); up to 5 nodes
    #[arg(long, requires = "nodes", conflicts_with = "undirected")]
    directed: bool,
    /// Links work in both directions or not at all; up to 6 nodes
    #[arg(long, requires = "nodes")]
    undirected: bool,
    /// A fixed part that takes some seconds, for every day
    #[arg(long, conflicts_with_all = ["nodes", "graph"])]
    selection: bool,
    /// Run so many cases that are drawn from --seed, instead of all: directed graphs in which a
    /// node reaches a majority both ways, the leader anywhere; up to 8 nodes
    #[arg(long, value_name = "COUNT", requires = "nodes",
          conflicts_with_all = ["undirected", "graph"],
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    sample: Option<u64>,
    /// One graph of --nodes: "0-1 1>2" has a link between 0 and 1, and one from 1 to 2 only
    #[arg(long, value_name = "LINKS", requires = "nodes", conflicts_with = "undirected")]
    graph: Option<String>,
    /// With --graph: the leader when the links are cut [default: each node in turn]
    #[arg(long, value_name = "NODE", requires = "graph")]
    leader: Option<u8>,
    /// With --graph: this node is cut off while the last commands are committed
    #[arg(long, value_name = "NODE", requires = "leader")]
    behind: Option<u8>,
    /// Print every event of a case; one algorithm, one graph, one leader
    #[arg(long, requires = "leader", conflicts_with = "json")]
    trace: bool,
    /// With --trace: commands come while the links are cut, not two election timeouts later
    #[arg(long, requires = "trace")]
    busy: bool,
    /// With --trace: the same, and before, leader after leader was cut off with commands that
    /// nobody else has
    #[arg(long, requires = "trace", conflicts_with = "busy")]
    frayed: bool,
    /// With --trace: as --busy, and the settings want the leader to lead
    #[arg(long, requires = "trace", conflicts_with_all = ["busy", "frayed"])]
    preferred: bool,
    /// The seed of every run, and of what is drawn
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Runs at the same time [default: one per core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1024))]
    jobs: Option<u64>,
    /// Print one JSON object per algorithm and list of cases instead of text
    #[arg(long)]
    json: bool,
    /// Write the tables to this file, too, as a page in Markdown
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Cases of five nodes on the page of the docs that are drawn.
const PAGE_SAMPLE: usize = 400;

const EXAMPLES: &str = "\
Examples:
  synod connectivity --selection                        what is run every day
  synod connectivity --out docs/connectivity.md         the page of the docs
  synod connectivity --algo raft --nodes 5              all 9,608 directed graphs of 5 nodes
  synod connectivity --nodes 5 --sample 300 --seed 7    300 of them, drawn, with a leader each
  synod connectivity --algo raft --nodes 4 --graph \"0>1 1-2 2-3\" --leader 0 --trace --busy

Exits with 1 if a case failed.";

/// Cases that are listed together.
struct Suite {
    title: String,
    cases: Vec<(String, Case)>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if args.trace {
        return trace(args);
    }
    let suites = suites(args)?;
    let mut rows = Vec::new();
    for suite in &suites {
        for algorithm in args.algo.0.iter().copied() {
            let row = Row {
                algorithm,
                title: suite.title.clone(),
                runs: measure(algorithm, suite, args),
            };
            if args.json {
                say(row.json().to_string());
            }
            rows.push(row);
        }
    }
    rows.retain(|row| !row.runs.is_empty());
    if rows.is_empty() {
        return Err(Failure::usage("none of these algorithms can run with so few nodes"));
    }
    if !args.json {
        say(table::text(&rows));
    }
    if let Some(path) = &args.out {
        std::fs::write(path, table::page(&rows))
            .map_err(|why| Failure::failed(format!("cannot write {}: {why}", path.display())))?;
        note(format!("wrote {}", path.display()));
    }
    let clean = rows.iter().all(|row| row.failures().next().is_none());
    Ok(if clean { Exit::Ok } else { Exit::Failed })
}

/// What to run.
fn suites(args: &Args) -> Result<Vec<Suite>, Failure> {
    if args.selection {
        let cases = connectivity::selection().into_iter().map(plain).collect();
        return Ok(vec![Suite { title: "selection".into(), cases }]);
    }
    let Some(nodes) = args.nodes.map(usize::from) else {
        let mut all = vec![named()];
        all.extend(each_way("3 nodes, directed", &Graph::directed(3)));
        all.extend(each_way("4 nodes, directed", &Graph::directed(4)));
        all.extend(each_way("5 nodes, undirected", &Graph::undirected(5)));
        all.push(drawn(5, PAGE_SAMPLE, args.seed));
        return Ok(all);
    };
    if let Some(links) = &args.graph {
        return one_graph(nodes, links, args);
    }
    if let Some(count) = args.sample {
        return Ok(vec![drawn(nodes, count as usize, args.seed)]);
    }
    let (kind, most) = match args.undirected {
        true => ("undirected", Graph::MOST_UNDIRECTED),
        false => ("directed", Graph::MOST_DIRECTED),
    };
    if nodes > most {
        let why = format!("there are too many {kind} graphs of {nodes} nodes; take {most} at most");
        return Err(Failure::usage(why));
    }
    let graphs = if args.undirected { Graph::undirected(nodes) } else { Graph::directed(nodes) };
    Ok(each_way(&format!("{nodes} nodes, {kind}"), &graphs))
}

fn plain(case: Case) -> (String, Case) {
    (case.to_string(), case)
}

fn named() -> Suite {
    let named =
        NAMED.iter().flat_map(|it| Way::ALL.map(|way| (table::title(it, way), it.case(way))));
    Suite { title: "named".into(), cases: named.collect() }
}

/// Cases of which there are too many to run them all.
fn drawn(nodes: usize, count: usize, seed: u64) -> Suite {
    let cases = connectivity::sample(nodes, count, seed).into_iter().map(plain).collect();
    Suite { title: format!("{nodes} nodes, directed, {count} drawn"), cases }
}

/// These graphs, each way.
fn each_way(title: &str, graphs: &[Graph]) -> Vec<Suite> {
    let suite = |way: Way| Suite {
        title: format!("{title}, {way}"),
        cases: connectivity::all(graphs, way).into_iter().map(plain).collect(),
    };
    Way::ALL.map(suite).into()
}

fn one_graph(nodes: usize, links: &str, args: &Args) -> Result<Vec<Suite>, Failure> {
    let graph = Graph::parse(nodes, links).map_err(Failure::usage)?;
    for node in [args.leader, args.behind].into_iter().flatten() {
        if usize::from(node) >= nodes {
            return Err(Failure::usage(format!("there is no node {node} among {nodes}")));
        }
    }
    let leaders = args.leader.map_or_else(|| (0..nodes as u8).collect(), |leader| vec![leader]);
    let behind = args.behind.map(NodeId);
    let suite = |way: Way| {
        let case = |leader| Case { behind, ..Case::calm(graph, NodeId(leader)) }.by(way);
        let cases = leaders.iter().map(|leader| plain(case(*leader))).collect();
        Suite { title: format!("{links}, {way}"), cases }
    };
    Ok(Way::ALL.map(suite).into())
}

struct RunCase(Case, u64);

impl Visitor for RunCase {
    type Output = Option<Verdict>;

    fn visit<P: Audit>(self) -> Self::Output {
        let Self(case, seed) = self;
        case.is_possible::<P>().then(|| connectivity::run::<P>(&case, seed))
    }
}

struct TraceCase(Case, u64);

impl Visitor for TraceCase {
    type Output = Option<(Verdict, Vec<String>)>;

    fn visit<P: Audit>(self) -> Self::Output {
        let Self(case, seed) = self;
        case.is_possible::<P>().then(|| connectivity::trace::<P>(&case, seed))
    }
}

/// Runs the cases that the algorithm can run at all, on all cores. What comes out does not depend
/// on which was faster.
fn measure(algorithm: Algorithm, suite: &Suite, args: &Args) -> Vec<Run> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let (next, total) = (AtomicUsize::new(0), suite.cases.len());
    let (sender, verdicts) = mpsc::channel();
    let mut progress = Progress::new();
    let stage = format!("{algorithm}, {}", suite.title);
    let mut runs: Vec<Option<Run>> = vec![None; total];
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.unwrap_or(cores) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, case)) = suite.cases.get(place) else { break };
                    let (name, case) = (name.clone(), *case);
                    let verdict = algorithm.dispatch(RunCase(case, args.seed));
                    let run = verdict.map(|verdict| Run { name, case, verdict });
                    if sender.send((place, run)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (done, (place, run)) in verdicts.into_iter().enumerate() {
            runs[place] = run;
            progress.show(&stage, done as u64 + 1, total as u64);
        }
    });
    progress.finish();
    runs.into_iter().flatten().collect()
}

/// One case, event by event.
fn trace(args: &Args) -> Outcome {
    let [algorithm] = args.algo.0[..] else {
        return Err(Failure::usage("--trace shows one run: name one algorithm with --algo"));
    };
    let suites = suites(args)?;
    let way = match (args.busy, args.frayed, args.preferred) {
        (true, _, _) => Way::Busy,
        (_, true, _) => Way::Frayed,
        (_, _, true) => Way::Preferred,
        _ => Way::Calm,
    };
    let cases = suites.iter().flat_map(|suite| &suite.cases);
    let case = cases.map(|(_, case)| *case).find(|case| case.way == way);
    let case = case.expect("each graph is there each way");
    let Some((verdict, log)) = algorithm.dispatch(TraceCase(case, args.seed)) else {
        let nodes = case.graph.nodes();
        return Err(Failure::usage(format!("{algorithm} cannot run so with {nodes} nodes")));
    };
    log.iter().for_each(say);
    let run = Run { name: case.to_string(), case, verdict };
    say(format!("{algorithm}: {}: {}", run.name, run.outcome()));
    Ok(if run.verdict.violation.is_none() { Exit::Ok } else { Exit::Failed })
}
