//! `synod serve`: one replica.

use crate::exit::{Failure, Outcome};
use crate::files::{self, AlgorithmName, ClusterName, KeyFiles, NodeFile};
use crate::replica::{self, Start};
use std::net::SocketAddr;
use std::path::PathBuf;
use synod_algorithms::Algorithm;

/// Flags of `synod serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The replica's file; see docs/config.md
    #[arg(long, value_name = "FILE", required_unless_present = "algo",
          conflicts_with_all = ["algo", "id", "peers", "dir", "cluster_id", "key", "ring"])]
    config: Option<PathBuf>,
    /// paxos, multipaxos, raft or pbft
    #[arg(long, value_name = "NAME", value_parser = super::parse_algorithm,
          requires_all = ["id", "peers", "dir"])]
    algo: Option<Algorithm>,
    /// Which of the peers this replica is, from 0
    #[arg(long, value_name = "NUMBER", requires = "algo")]
    id: Option<u8>,
    /// The addresses of all replicas in the order of their ids, comma-separated
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', requires = "algo")]
    peers: Vec<SocketAddr>,
    /// The replica's disk folder
    #[arg(long, value_name = "DIR", requires = "algo")]
    dir: Option<PathBuf>,
    /// The cluster's id, 32 hex digits [default: derived from --algo and --peers]
    #[arg(long, value_name = "ID", requires = "algo")]
    cluster_id: Option<ClusterName>,
    /// This replica's secret key file, for pbft
    #[arg(long, value_name = "FILE", requires = "ring")]
    key: Option<PathBuf>,
    /// The file with everybody's public keys, for pbft
    #[arg(long, value_name = "FILE", requires = "key")]
    ring: Option<PathBuf>,
    /// Start on an empty disk: only the very first time, for an emptied disk has forgotten its
    /// votes
    #[arg(long)]
    init: bool,
    /// Start on an empty disk as a replica that joins a running cluster: --peers are replicas that
    /// were there before, --id a number that was never used, --listen where this one is. Only the
    /// very first time; then add it with synod ctl add-learner
    #[arg(long, conflicts_with = "init")]
    join: bool,
    /// Take a snapshot when the log has grown by so many KiB [default: 65536]
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_after_kib: Option<u64>,
    /// Keep so many entries although a snapshot covers them, for replicas that are a little behind
    /// [default: 4096]
    #[arg(long, value_name = "COUNT")]
    trailing_entries: Option<u64>,
    /// Switch leases for reads on: no clock of the cluster gains or loses more than so many parts
    /// in a million. The same on all replicas
    #[arg(long, value_name = "PPM")]
    lease_drift_ppm: Option<u32>,
    /// Listen here [default: this replica's address among the peers]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Listen on an address that other machines reach; links are neither encrypted nor
    /// authenticated yet, so only in a network that you trust
    #[arg(long)]
    allow_remote: bool,
    /// Keep what is not synced yet in memory, so that kill -9 loses it like a power cut
    #[arg(long)]
    lose_unsynced: bool,
    /// Take written for synced. Together with --lose-unsynced every kill loses promises: for
    /// the test that proves that such a loss would be seen
    #[arg(long, hide = true)]
    never_sync: bool,
    /// Print the ready line as JSON
    #[arg(long)]
    json: bool,
    /// Stop when stdin closes, so that no replica outlives the program that started it
    #[arg(long, hide = true)]
    stop_with_parent: bool,
}

const EXAMPLES: &str = "\
Examples:
  synod serve --config /tmp/trio/n0/node.toml
  synod serve --algo raft --id 0 --peers 127.0.0.1:4000,127.0.0.1:4001,127.0.0.1:4002 \\
              --dir /var/lib/synod/n0 --init
  synod serve --algo raft --id 3 --peers 127.0.0.1:4000,127.0.0.1:4001,127.0.0.1:4002 \\
              --dir /var/lib/synod/n3 --listen 127.0.0.1:4003 --join
  synod ctl --cluster /tmp/trio add-learner 3 127.0.0.1:4003

Exits with 2 if the flags, the file or the disk folder are not this replica's, and with 1 if it
had to stop: a full or failing disk, a broken invariant.";

/// Runs it.
pub(crate) fn run(args: Args) -> Outcome {
    let mut file = match &args.config {
        Some(path) => NodeFile::read(path)?,
        None => from_flags(&args)?,
    };
    file.listen = args.listen.or(file.listen);
    file.allow_remote |= args.allow_remote;
    file.snapshot_after_kib = args.snapshot_after_kib.or(file.snapshot_after_kib);
    file.trailing_entries = args.trailing_entries.or(file.trailing_entries);
    file.lease_drift_ppm = args.lease_drift_ppm.or(file.lease_drift_ppm);
    file.join |= args.join || has_joined(&file)?;
    file.check().map_err(Failure::usage)?;
    replica::serve(Start {
        file,
        init: args.init || args.join,
        lose_unsynced: args.lose_unsynced,
        never_sync: args.never_sync,
        json: args.json,
        stop_with_parent: args.stop_with_parent,
    })
}

/// Does the disk say that this replica joined a running cluster? Then that need not be said again.
fn has_joined(file: &NodeFile) -> Result<bool, Failure> {
    let owner = synod_runtime::owner_of(&file.data);
    let owner = owner.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(owner.is_some_and(|owner| owner.joined))
}

fn from_flags(args: &Args) -> Result<NodeFile, Failure> {
    let (Some(algorithm), Some(id), Some(data)) = (args.algo, args.id, args.dir.clone()) else {
        return Err(Failure::usage("give --config, or --algo with --id, --peers and --dir"));
    };
    let peers = args.peers.clone();
    let keys = args.key.clone().zip(args.ring.clone()).map(|(own, ring)| KeyFiles { own, ring });
    let file = NodeFile {
        algorithm: AlgorithmName(algorithm),
        cluster: args.cluster_id.unwrap_or_else(|| files::derived_id(algorithm, &peers)),
        id,
        peers,
        listen: None,
        data,
        allow_remote: false,
        join: false,
        snapshot_after_kib: None,
        trailing_entries: None,
        lease_drift_ppm: None,
        timing: None,
        keys,
    };
    Ok(file)
}
