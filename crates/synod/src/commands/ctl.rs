//! `synod ctl`: a client, and an operator, on the command line.

mod members;
mod read;
mod survey;

use crate::exit::{Exit, Failure, Outcome};
use crate::files::{self, AlgorithmName, ClusterFile, ClusterName};
use crate::keys;
use crate::output::{note, say};
use bytes::Bytes;
use consensus_core::{NodeId, Outcome as Ended, Patience};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use synod_algorithms::Algorithm;
use synod_kv::{KvCommand, KvResult};
use synod_runtime::{ClientConfig, ClientError, ClusterClient};

/// Flags of `synod ctl`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of the cluster, or its cluster.toml
    #[arg(long, value_name = "DIR", global = true)]
    cluster: Option<PathBuf>,
    /// Without a folder: the addresses of all replicas in the order of their ids, comma-separated
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        conflicts_with = "cluster",
        global = true
    )]
    addr: Vec<SocketAddr>,
    /// Without a folder: the algorithm that the cluster runs
    #[arg(long, value_name = "NAME", value_parser = super::parse_algorithm, global = true)]
    algo: Option<Algorithm>,
    /// Without a folder: the cluster's id, if the replicas were given one
    #[arg(long, value_name = "ID", conflicts_with = "cluster", global = true)]
    cluster_id: Option<ClusterName>,
    /// The replica to ask first
    #[arg(long, value_name = "NUMBER", default_value_t = 0, global = true)]
    node: u8,
    /// How long to try, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3600), global = true)]
    timeout: u64,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a value
    Put {
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// Read a value: never a stale one, unless you ask for it
    Get {
        /// The key
        key: String,
        /// How fresh it must be: index, lease, quorum, follower, log, local, or at-most=50ms.
        /// Without, index; where the algorithm reads through the log only, log
        #[arg(long, value_name = "HOW", value_parser = read::parse)]
        consistency: Option<read::Freshness>,
    },
    /// Delete a key
    Del {
        /// The key
        key: String,
    },
    /// Write a value if the old one is as expected
    #[command(group = clap::ArgGroup::new("old").required(true))]
    Cas {
        /// The key
        key: String,
        /// The new value
        new: String,
        /// Write if this is the value
        #[arg(long, value_name = "VALUE", group = "old")]
        expect: Option<String>,
        /// Write if the key has no value
        #[arg(long, group = "old")]
        absent: bool,
    },
    /// Ask every replica who leads and how far it is
    Status,
    /// Show who votes, who learns, and the version that a change must name
    Members,
    /// Have a replica kept up to date, without a vote: the first step of adding one
    AddLearner {
        /// Its number, that was never used before
        id: u8,
        /// Where it listens
        address: SocketAddr,
        #[command(flatten)]
        guard: members::Guard,
    },
    /// Let a learner vote, once it has caught up
    Promote {
        /// The learner
        id: u8,
        /// Though it has not caught up
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        guard: members::Guard,
    },
    /// Take a replica out, for good: its number must never be used again
    Remove {
        /// The replica
        id: u8,
        #[command(flatten)]
        guard: members::Guard,
    },
    /// Put a learner in the place of a voter, in one step
    Replace {
        /// The voter that goes
        old: u8,
        /// The learner that comes
        new: u8,
        /// Though it has not caught up
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        guard: members::Guard,
    },
    /// Have the leader hand over to another voter
    Transfer {
        /// Who is to lead
        id: u8,
    },
    /// Have the replica --node take a snapshot now
    Snapshot,
}

const EXAMPLES: &str = "\
Examples:
  synod ctl --cluster /tmp/trio put greeting hello
  synod ctl --cluster /tmp/trio get greeting
  synod ctl --cluster /tmp/trio cas greeting goodbye --expect hello
  synod ctl --cluster /tmp/trio get greeting --consistency at-most=50ms
  synod ctl --cluster /tmp/trio status
  synod ctl --cluster /tmp/trio add-learner 3 127.0.0.1:4103
  synod ctl --cluster /tmp/trio promote 3
  synod ctl --cluster /tmp/trio transfer 3
  synod ctl --cluster /tmp/trio remove 0
  synod ctl --algo raft --addr 127.0.0.1:4000,127.0.0.1:4001,127.0.0.1:4002 get greeting

Exit codes:
  0  done
  1  no such key (get, del), or another value than expected (cas)
  2  the command line or the cluster's files make no sense
  3  refused; surely not applied
  4  no answer in time; the command may have been applied or may yet be: look before you repeat it
  5  no replica could be reached";

/// Runs it.
pub(crate) fn run(args: Args) -> Outcome {
    let cluster = cluster_of(&args)?;
    if !cluster.addresses().contains_key(&NodeId(args.node)) {
        let known: Vec<_> = cluster.addresses().keys().map(ToString::to_string).collect();
        return Err(Failure::usage(format!(
            "--node {}: the cluster has the replicas {}",
            args.node,
            known.join(" ")
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(carry_out(&args, &cluster))
}

async fn carry_out(args: &Args, cluster: &ClusterFile) -> Outcome {
    use members::Wanted;
    match &args.command {
        Command::Put { .. } | Command::Del { .. } | Command::Cas { .. } => {
            call(args, cluster, &command_of(&args.command)?).await
        }
        Command::Get { consistency, .. } => {
            read::run(args, cluster, &command_of(&args.command)?, *consistency).await
        }
        Command::Status => survey::status(args, cluster).await,
        Command::Members => members::show(args, cluster).await,
        Command::AddLearner { id, address, guard } => {
            members::change(args, cluster, &Wanted::AddLearner(*id, *address), *guard).await
        }
        Command::Promote { id, force, guard } => {
            members::change(args, cluster, &Wanted::Promote(*id, *force), *guard).await
        }
        Command::Remove { id, guard } => {
            members::change(args, cluster, &Wanted::Remove(*id), *guard).await
        }
        Command::Replace { old, new, force, guard } => {
            members::change(args, cluster, &Wanted::Replace(*old, *new, *force), *guard).await
        }
        Command::Transfer { id } => members::transfer(args, cluster, *id).await,
        Command::Snapshot => members::snapshot(args, cluster).await,
    }
}

/// The cluster that the flags name.
fn cluster_of(args: &Args) -> Result<ClusterFile, Failure> {
    if let Some(path) = &args.cluster {
        let cluster = ClusterFile::read(path)?;
        let named = cluster.algorithm.0;
        return match args.algo {
            Some(other) if other != named => Err(Failure::usage(format!(
                "--algo {other}: the cluster in {} runs {named}",
                path.display()
            ))),
            _ => Ok(cluster),
        };
    }
    if args.addr.is_empty() {
        return Err(Failure::usage(
            "which cluster? Give --cluster DIR, or --addr ADDRESSES with --algo NAME",
        ));
    }
    let Some(algorithm) = args.algo else {
        return Err(Failure::usage("--addr needs --algo NAME: what the cluster runs"));
    };
    files::check_size(algorithm, args.addr.len()).map_err(Failure::usage)?;
    let cluster = args.cluster_id.unwrap_or_else(|| files::derived_id(algorithm, &args.addr));
    Ok(ClusterFile {
        algorithm: AlgorithmName(algorithm),
        cluster,
        nodes: args.addr.clone(),
        joined: Default::default(),
        ring: None,
        client_keys: None,
    })
}

/// The command for the store.
fn command_of(command: &Command) -> Result<KvCommand, Failure> {
    let bytes = |text: &String| Bytes::copy_from_slice(text.as_bytes());
    let command = match command {
        Command::Put { key, value } => KvCommand::Put { key: bytes(key), value: bytes(value) },
        Command::Get { key, .. } => KvCommand::Get { key: bytes(key) },
        Command::Del { key } => KvCommand::Delete { key: bytes(key) },
        Command::Cas { key, new, expect, absent: _ } => KvCommand::Cas {
            key: bytes(key),
            expected: expect.as_ref().map(bytes),
            new: bytes(new),
        },
        _ => return Err(Failure::usage("that is no command for the store")),
    };
    command.validate().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(command)
}

/// A client of the cluster.
fn connect(args: &Args, cluster: &ClusterFile) -> Result<(ClusterClient, keys::Identity), Failure> {
    let identity = keys::client(cluster)?;
    let client = ClusterClient::connect(ClientConfig {
        cluster: cluster.cluster(),
        info: cluster.algorithm.0.info(),
        addresses: cluster.addresses(),
        id: identity.id,
        opening: keys::opening(),
        patience: Patience { give_up: Duration::from_secs(args.timeout), ..Patience::default() },
        target: NodeId(args.node),
        keys: std::sync::Arc::clone(&identity.keys),
    });
    Ok((client.map_err(|error| not_asked(&error))?, identity))
}

/// Has the cluster carry out one command.
async fn call(args: &Args, cluster: &ClusterFile, command: &KvCommand) -> Outcome {
    let (mut client, _identity) = connect(args, cluster)?;
    let ended = client.call(command.encode()).await.map_err(|error| not_asked(&error))?;
    Ok(tell(args, ended))
}

fn not_asked(error: &ClientError) -> Failure {
    let exit = match error {
        ClientError::Config(_) => Exit::Usage,
        ClientError::Unreachable(_) => Exit::Unreachable,
        ClientError::Refused(_) => Exit::Refused,
        ClientError::NoAnswer(_) => Exit::Unknown,
        ClientError::NothingToResume | ClientError::Protocol(_) => Exit::Failed,
    };
    Failure { exit, message: error.to_string() }
}

/// Shows how the command ended.
fn tell(args: &Args, ended: Ended) -> Exit {
    let (exit, text, details) = match ended {
        Ended::Committed { position, result } => {
            let (exit, text, mut details) = describe(KvResult::decode(&result));
            details["outcome"] = json!("committed");
            details["index"] = json!(position.index.0);
            details["offset"] = json!(position.offset);
            (exit, text, details)
        }
        Ended::Refused(why) => {
            let text = format!("refused: {why}");
            (Exit::Refused, text, json!({ "outcome": "refused", "why": why.to_string() }))
        }
        Ended::Unknown => {
            let text = format!(
                "unknown: no answer in {} s; it may have been applied or may yet be",
                args.timeout
            );
            (Exit::Unknown, text, json!({ "outcome": "unknown" }))
        }
    };
    show(args, exit, &text, &details);
    exit
}

/// The answer in JSON on stdout, or as text: on stdout if it is one, on stderr if it is a
/// complaint.
fn show(args: &Args, exit: Exit, text: &str, details: &Value) {
    if args.json {
        say(details.to_string());
    } else if exit == Exit::Ok {
        say(text);
    } else {
        note(text);
    }
}

/// What the store said, for scripts and for people.
fn describe(result: Option<KvResult>) -> (Exit, String, Value) {
    match result {
        Some(KvResult::Value(Some(value))) => {
            (Exit::Ok, String::from_utf8_lossy(&value).into_owned(), value_json(&value))
        }
        Some(KvResult::Value(None)) => {
            (Exit::Failed, "no such key".into(), json!({ "value": null }))
        }
        Some(KvResult::Written) => (Exit::Ok, "written".into(), json!({})),
        Some(KvResult::Deleted(true)) => (Exit::Ok, "deleted".into(), json!({ "deleted": true })),
        Some(KvResult::Deleted(false)) => {
            (Exit::Failed, "no such key".into(), json!({ "deleted": false }))
        }
        Some(KvResult::Swapped) => (Exit::Ok, "written".into(), json!({ "swapped": true })),
        Some(KvResult::NotSwapped(found)) => not_swapped(found),
        Some(KvResult::Malformed) => {
            (Exit::Failed, "the store does not know this command".into(), json!({}))
        }
        None => {
            let text = "the answer is none of this store's; do the versions match?";
            (Exit::Failed, text.into(), json!({ "unreadable": true }))
        }
    }
}

fn not_swapped(found: Option<Bytes>) -> (Exit, String, Value) {
    let (text, mut details) = match found {
        Some(value) => {
            let text = format!("not written: the value is {}", String::from_utf8_lossy(&value));
            (text, value_json(&value))
        }
        None => ("not written: no such key".to_owned(), json!({ "value": null })),
    };
    details["swapped"] = json!(false);
    (Exit::Failed, text, details)
}

/// A value as text where it is text.
fn value_json(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => json!({ "value": text }),
        Err(_) => {
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "value_hex": hex })
        }
    }
}
