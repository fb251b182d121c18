//! `synod cluster`: a whole cluster of real processes on this machine.

use crate::children::{Event, Plan};
use crate::exit::{Exit, Failure, Outcome};
use crate::layout::{self, Layout, Wish};
use crate::output::{note, say};
use crate::signals;
use consensus_core::{NodeId, NodeSet};
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Flags of `synod cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster's folder; made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// paxos, multipaxos, raft or pbft [default: raft, or what DIR holds]
    #[arg(long, value_name = "NAME", value_parser = super::parse_algorithm)]
    algo: Option<Algorithm>,
    /// Replicas [default: 3, or 4 for pbft, or what DIR holds]
    #[arg(long, value_name = "COUNT", value_parser = super::count)]
    nodes: Option<usize>,
    /// The first replica's port; the others follow [default: the first free row from 4100 on]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Only write the files; start the replicas yourself with synod serve --config
    #[arg(long)]
    prepare: bool,
    /// Start a replica again when it dies
    #[arg(long)]
    restart: bool,
    /// Keep what is not synced yet in memory, so that kill -9 loses it like a power cut
    #[arg(long)]
    lose_unsynced: bool,
}

const EXAMPLES: &str = "\
Example:
  synod cluster --algo raft --nodes 3 --dir /tmp/trio
  synod ctl --cluster /tmp/trio put greeting hello     (in another terminal)
  kill -9 $(cat /tmp/trio/n0/pid)                      (it survives this)

DIR/cluster.toml is for clients, DIR/n0/node.toml for the first replica, DIR/n0/log is what it
logged, DIR/n0/pid its process while it runs. A replica that joined the cluster later is started
with the others when it has a DIR/n3/node.toml with join = true; docs/operations.md shows one.";

/// Runs it.
pub(crate) fn run(args: Args) -> Outcome {
    let wish = Wish { algorithm: args.algo, nodes: args.nodes, base_port: args.base_port };
    let layout = Layout::open(&args.dir, wish)?;
    if args.prepare {
        let shown = args.dir.display();
        say(format!("prepared {}", describe(&layout, &args.dir)));
        say(format!("start each replica:  synod serve --config {shown}/n0/node.toml --init"));
        return Ok(Exit::Ok);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(keep(&args, &layout))
}

fn describe(layout: &Layout, folder: &Path) -> String {
    let (size, name) = (layout.replicas().len(), layout.cluster.algorithm);
    format!("a cluster of {size} {name} replicas in {}", folder.display())
}

/// Starts the children and keeps them until the caller has had enough.
async fn keep(args: &Args, layout: &Layout) -> Outcome {
    let plans = plans(args, layout)?;
    for plan in &plans {
        refuse_left_over(plan).await?;
    }
    refuse_busy_ports(layout)?;
    let (stop, stopped) = watch::channel(false);
    let (sender, mut events) = mpsc::channel(16);
    let mut children = JoinSet::new();
    for plan in plans.clone() {
        children.spawn(plan.run(sender.clone(), stopped.clone()));
    }
    drop(sender);
    let mut watcher = Watcher { args, layout, plans: &plans, ready: NodeSet::EMPTY, told: false };
    let mut stop_wish = std::pin::pin!(signals::stop_wish());
    let exit = loop {
        tokio::select! {
            () = &mut stop_wish => break Exit::Ok,
            event = events.recv() => match event {
                Some(event) => watcher.saw(event),
                None => {
                    note("no replica is left");
                    break Exit::Failed;
                }
            },
        }
    };
    stop.send_replace(true);
    events.close();
    while children.join_next().await.is_some() {}
    note("stopped");
    Ok(exit)
}

fn plans(args: &Args, layout: &Layout) -> Result<Vec<Plan>, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find my own program file: {error}")))?;
    let plan = |id: usize| Plan {
        id: NodeId(id as u8),
        program: program.clone(),
        folder: layout.node(id),
        lose_unsynced: args.lose_unsynced,
        restart: args.restart,
    };
    Ok(layout.replicas().into_keys().map(plan).collect())
}

async fn refuse_left_over(plan: &Plan) -> Result<(), Failure> {
    match plan.left_over().await {
        None => Ok(()),
        Some(pid) => Err(Failure::failed(format!(
            "{} still runs as process {pid}, left from an earlier run of this cluster; stop it \
             first: kill {pid}",
            plan.id
        ))),
    }
}

fn refuse_busy_ports(layout: &Layout) -> Result<(), Failure> {
    let addresses: Vec<_> = layout.replicas().into_values().collect();
    let busy: Vec<_> = layout::busy(&addresses).iter().map(ToString::to_string).collect();
    if busy.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "somebody else listens on {}; stop that program, or move this cluster with --base-port",
        busy.join(" and ")
    )))
}

/// Tells the reader what happens to the children.
struct Watcher<'a> {
    args: &'a Args,
    layout: &'a Layout,
    plans: &'a [Plan],
    ready: NodeSet,
    told: bool,
}

impl Watcher<'_> {
    fn saw(&mut self, event: Event) {
        match event {
            Event::Ready(id) => {
                self.ready.insert(id);
                if self.told {
                    note(format!("{id} is back"));
                }
                if self.ready.len() == self.plans.len() && !self.told {
                    self.told = true;
                    say(self.welcome());
                }
            }
            Event::NotStarted(id, error) => note(format!("{id} cannot be started: {error}")),
            Event::Ended(id, status) => {
                self.ready.remove(id);
                let plan = self.plans.iter().find(|plan| plan.id == id);
                let words = plan.map(Plan::last_words).unwrap_or_default();
                let next =
                    if self.args.restart { "it is started again" } else { "the rest runs on" };
                note(format!("{id} ended ({status}); {next}{words}"));
            }
        }
    }

    fn welcome(&self) -> String {
        let shown = self.args.dir.display();
        let mut lines = vec![format!("running {}", describe(self.layout, &self.args.dir))];
        for (id, address) in self.layout.replicas() {
            lines.push(format!("  n{id}  {address}"));
        }
        lines.push(format!("talk to it:  synod ctl --cluster {shown} put greeting hello"));
        lines.push(format!("             synod ctl --cluster {shown} get greeting"));
        lines.push(format!("             synod ctl --cluster {shown} status"));
        lines.push(format!("break it:    kill -9 $(cat {shown}/n0/pid)"));
        lines.push("stop it:     ctrl-c".into());
        lines.join("\n")
    }
}
