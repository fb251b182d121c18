//! `synod rebuild`: a new cluster out of what one replica has left.

use crate::exit::{Exit, Failure, Outcome};
use crate::layout::{Layout, Wish};
use crate::output::say;
use consensus_core::Audit;
use std::fs;
use std::path::{Path, PathBuf};
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::KvStore;
use synod_runtime::{Rebuilt, StartError, owner_of, rebuild};

/// Flags of `synod rebuild`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The data folder of the survivor; it is not changed, and its replica must not run
    #[arg(long, value_name = "DATA")]
    from: PathBuf,
    /// The folder of the new cluster; new or empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The new replica's port [default: the first free one from 4100 on]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
}

const EXAMPLES: &str = "\
Only when a quorum is gone for good: what the lost replicas alone had is lost, acknowledged or not.
Of several survivors take the one that is farthest. docs/operations.md says more.

Example:
  synod rebuild --from /var/lib/synod/n2 --to /tmp/again
  synod cluster --dir /tmp/again
  synod ctl --cluster /tmp/again status";

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let owner = owner_of(&args.from).map_err(|error| Failure::usage(error.to_string()))?;
    let Some(owner) = owner else {
        let from = args.from.display();
        return Err(Failure::usage(format!("{from} is no data folder of a replica")));
    };
    let algorithm: Algorithm = owner.algorithm.parse().map_err(|_| {
        let name = &owner.algorithm;
        Failure::usage(format!("the replica runs {name}, which this program does not know"))
    })?;
    if args.to.join("cluster.toml").exists() {
        let to = args.to.display();
        return Err(Failure::usage(format!("{to} holds a cluster already; name a new folder")));
    }
    let was_there = args.to.exists();
    let (nodes, base_port) = (Some(1), args.base_port);
    let layout = Layout::open(&args.to, Wish { algorithm: Some(algorithm), nodes, base_port })?;
    let to = layout.node(0).data();
    let work = Work { from: &args.from, to: &to, layout: &layout };
    let rebuilt = algorithm.dispatch(work).map_err(|error| {
        undo(&args.to, was_there);
        match error {
            StartError::Identity(_) | StartError::Settings(_) => Failure::usage(error.to_string()),
            _ => Failure::failed(error.to_string()),
        }
    })?;
    let (shown, address) = (args.to.display(), layout.cluster.nodes[0]);
    say(format!(
        "a new {algorithm} cluster of one replica, {}, in {shown}, out of {} of cluster {}\n\
         it has everything up to {}: up to {} by a snapshot, the rest as the log had it, decided \
         or not\n\
         start it:  synod cluster --dir {shown}       (it listens on {address})\n\
         grow it:   synod ctl --cluster {shown} add-learner 1 ADDRESS",
        layout.cluster.cluster, owner.node, owner.cluster, rebuilt.upto, rebuilt.snapshot
    ));
    Ok(Exit::Ok)
}

/// What was made so far holds nothing; if it stays, it is in the way of the next attempt, and would
/// start as an empty cluster. A folder that was there was empty, or nothing would have been made.
fn undo(folder: &Path, was_there: bool) {
    if !was_there {
        drop(fs::remove_dir_all(folder));
        return;
    }
    for made in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = made.path();
        drop(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    }
}

struct Work<'a> {
    from: &'a Path,
    to: &'a Path,
    layout: &'a Layout,
}

impl Visitor for Work<'_> {
    type Output = Result<Rebuilt, StartError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let cluster = self.layout.cluster.cluster.0;
        rebuild::<P, KvStore>(self.from, self.to, cluster, KvStore::default())
    }
}
