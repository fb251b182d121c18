//! Compare, simulate and run consensus algorithms: the command line of Synod.
//!
//! Each subcommand is a file of `commands`: its flags as a `clap` type, and what it does. The work
//! itself is done in `synod-benches`, `synod-sim` and `synod-runtime`; this crate reads flags and
//! files, shows what comes out, and ends with the right exit code.

mod children;
mod commands;
mod cpu;
mod exit;
mod files;
mod kept;
mod keys;
mod layout;
mod matrix;
mod output;
mod planted;
mod progress;
mod replica;
mod rigs;
mod signals;

use clap::{Parser, Subcommand};
use exit::Outcome;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Compare, simulate and run consensus algorithms: Paxos, Multi-Paxos, Raft and PBFT.
#[derive(Debug, Parser)]
#[command(name = "synod", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it ran and the answer is no: a violation, a failed check, a missing key
  2  the command line, or a file that it names, makes no sense
  3  refused by the cluster; surely not applied
  4  unknown outcome; the command may have been applied or may yet be
  5  no replica could be reached

Logs go to stderr; set SYNOD_LOG=debug (or a filter such as synod_runtime=debug) to see more.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare the algorithms on the same work, simulated and real, beside what theory says
    ///
    /// Simulated and real figures never share a table: the simulator counts (messages, bytes,
    /// delays, syncs, signatures), real runs measure (operations per second, latency from the
    /// intended send time).
    Compare(commands::compare::Args),
    /// Hunt for violations in seeded simulations with crashes, losses and partitions
    ///
    /// Each seed is one run: a cluster of a drawn size, clients with work, and faults of drawn
    /// kinds (lost, doubled, late and reordered messages, partitions, crashes that lose unsynced
    /// writes, pauses; traitors where the algorithm stands them). Oracles look at every step. Then
    /// a random quorum is healed and must make progress. The same seed gives the same run, bit for
    /// bit.
    Simulate(commands::simulate::Args),
    /// Prove the rigs: does each find the bugs that were planted for it?
    ///
    /// Every algorithm crate carries named bugs, in builds with the cargo feature `mutants` only.
    /// This command switches each on in turn and lets every rig hunt for it: the kill matrix.
    Mutants(commands::mutants::Args),
    /// Play scenario files, step by step
    ///
    /// A scenario says what is to happen to a cluster (this message arrives, that timer fires, this
    /// node crashes) and what is to come of it. Nothing happens by chance or by itself, and all
    /// oracles look at every step.
    Scenario(commands::scenario::Args),
    /// Explore every behaviour of a small cluster, within bounds
    ///
    /// Messages arrive in any order, any number of times or never; disks sync at any time; timers
    /// fire, operators interfere, nodes crash and lose what was not synced. All of it is tried, and
    /// the oracles look at every step. A closed model is one that was visited whole.
    Explore(commands::explore::Args),
    /// Cut links for ever, in every way: does whoever still reaches a quorum go on?
    ///
    /// Each case is a graph of links, in both directions or one, and a place of the leader. Nothing
    /// else goes wrong. Times are in election timeouts.
    Connectivity(commands::connectivity::Args),
    /// Run one replica of a cluster
    ///
    /// Runs until ctrl-c or SIGTERM. A replica is told what it is by a file (--config) or by flags
    /// (--algo, --id, --peers, --dir). When it takes commands it prints one line:
    /// ready n0 127.0.0.1:4000 raft
    Serve(commands::serve::Args),
    /// Run a whole cluster of processes on this machine, to try it out
    ///
    /// Starts every replica as a process of its own, on loopback addresses, each with its own disk
    /// folder in DIR, and runs until ctrl-c. Started again on the same DIR, the cluster finds its
    /// data and addresses.
    Cluster(commands::cluster::Args),
    /// Talk to a running cluster: read, write, ask for its status
    ///
    /// Every command opens a session, so that a retry after a lost answer is not applied twice.
    /// Also for operators: members, learners, hand-over, snapshots.
    Ctl(commands::ctl::Args),
    /// Make a new cluster of one replica out of one data folder, when a quorum is gone for good
    ///
    /// The survivor's folder is only read. What the lost replicas alone had is lost.
    Rebuild(commands::rebuild::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    match run(cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::complain(&failure.message);
            failure.exit.into()
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Compare(args) => commands::compare::run(args),
        Command::Simulate(args) => commands::simulate::run(&args),
        Command::Mutants(args) => commands::mutants::run(&args),
        Command::Scenario(args) => commands::scenario::run(&args),
        Command::Explore(args) => commands::explore::run(&args),
        Command::Connectivity(args) => commands::connectivity::run(&args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Cluster(args) => commands::cluster::run(args),
        Command::Ctl(args) => commands::ctl::run(args),
        Command::Rebuild(args) => commands::rebuild::run(&args),
    }
}

/// Warnings and errors, unless `SYNOD_LOG` asks for more or less.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SYNOD_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// clap checks names, conflicts and defaults of all flags only in debug builds.
    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
