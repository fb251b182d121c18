//! What an operator wants: other members, another leader, a snapshot.

use super::Args;
use super::survey::{self, Row};
use crate::exit::{Exit, Failure, Outcome};
use crate::files::ClusterFile;
use crate::output::say;
use consensus_core::{Change, ChangeRefusal, LogIndex, Membership, NodeId, NodeSet};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use synod_runtime::{ClientError, Denied, Granted, StatusReport, Wish, operate};

/// A learner that is more entries behind has not caught up.
const CLOSE: u64 = 1000;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Against two operators who change members at the same time.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Guard {
    /// Only if the members are still of this version, which synod ctl members shows [default: what
    /// the leader says just now]
    #[arg(long, value_name = "VERSION")]
    seen: Option<u64>,
}

/// Which change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    AddLearner(u8, SocketAddr),
    Promote(u8, bool),
    Remove(u8),
    Replace(u8, u8, bool),
}

fn node(number: u8) -> Result<NodeId, Failure> {
    if usize::from(number) < NodeId::LIMIT {
        return Ok(NodeId(number));
    }
    let last = NodeId::LIMIT - 1;
    Err(Failure::usage(format!("{number}: replicas are numbered from 0 to {last}")))
}

fn refused<T>(why: String) -> Result<T, Failure> {
    Err(Failure { exit: Exit::Refused, message: why })
}

fn no_leader(rows: &[Row]) -> Failure {
    if rows.iter().all(|row| row.answer.is_err()) {
        let said = rows.iter().filter_map(|row| Some((row.id, row.answer.as_ref().err()?)));
        let said: Vec<_> = said.map(|(id, why)| format!("{id}: {why}")).collect();
        let message = format!("no replica could be reached: {}", said.join("; "));
        return Failure { exit: Exit::Unreachable, message };
    }
    let message = "no replica leads just now, and only a leader can do that; see synod ctl status";
    Failure { exit: Exit::Refused, message: message.into() }
}

fn names(set: NodeSet) -> String {
    let names: Vec<_> = set.iter().map(|node| node.to_string()).collect();
    if names.is_empty() { "-".into() } else { names.join(" ") }
}

fn members_json(members: &Membership) -> Value {
    let list = |set: NodeSet| set.iter().map(|node| node.0).collect::<Vec<_>>();
    let contacts =
        members.contacts.iter().map(|(node, contact)| (node.to_string(), json!(contact)));
    json!({
        "version": members.version.0,
        "voters": list(members.voters),
        "outgoing": list(members.outgoing),
        "learners": list(members.learners),
        "contacts": Value::Object(contacts.collect()),
    })
}

fn members_text(members: &Membership) -> String {
    let Membership { version, voters, outgoing, learners, .. } = members;
    let mut lines = vec![format!("version   {version}"), format!("voters    {}", names(*voters))];
    if members.is_joint() {
        lines.push(format!("outgoing  {}", names(*outgoing)));
    }
    lines.push(format!("learners  {}", names(*learners)));
    for (node, contact) in &members.contacts {
        lines.push(format!("          {node} is at {contact}"));
    }
    lines.join("\n")
}

/// `synod ctl members`.
pub(super) async fn show(args: &Args, cluster: &ClusterFile) -> Outcome {
    let rows = survey::ask_all(args, cluster).await;
    let (_, report) = survey::leader(&rows).ok_or_else(|| no_leader(&rows))?;
    let members = report.members.membership();
    if members == Membership::default() {
        return Err(fixed(cluster));
    }
    if args.json {
        let mut shown = members_json(&members);
        shown["committed"] = json!(report.members.committed);
        say(shown.to_string());
        return Ok(Exit::Ok);
    }
    say(members_text(&members));
    if !report.members.committed {
        say("          not committed yet");
    }
    Ok(Exit::Ok)
}

fn fixed(cluster: &ClusterFile) -> Failure {
    let message = format!("{}, as it is configured, has fixed members", cluster.algorithm);
    Failure { exit: Exit::Refused, message }
}

/// The change that is wanted, on top of the members as the leader sees them.
fn compose(
    wanted: &Wanted,
    guard: Guard,
    members: &Membership,
    rows: &[Row],
    report: &StatusReport,
) -> Result<Change, Failure> {
    let mut change = Change::of(members);
    if let Some(version) = guard.seen {
        change.expected = LogIndex(version);
    }
    let learner = |id: NodeId, force: bool| {
        if !members.learners.contains(id) {
            return refused(format!(
                "{id} is no learner; add it first: synod ctl add-learner {} ADDRESS",
                id.0
            ));
        }
        if force { Ok(()) } else { caught_up(id, rows, report) }
    };
    Ok(match *wanted {
        Wanted::AddLearner(id, address) => {
            let id = node(id)?;
            if members.is_voter(id) {
                return refused(format!("{id} votes already; remove it if it is to vote no more"));
            }
            change.add_learner(id).at(id, address.to_string())
        }
        Wanted::Promote(id, force) => {
            let id = node(id)?;
            learner(id, force)?;
            change.add_voter(id)
        }
        Wanted::Remove(id) => {
            let id = node(id)?;
            if !members.members().contains(id) {
                return refused(format!("{id} is no member"));
            }
            if members.voters == NodeSet::only(id) {
                return refused(format!("{id} is the last voter; nobody would be left"));
            }
            change.remove(id)
        }
        Wanted::Replace(old, new, force) => {
            let (old, new) = (node(old)?, node(new)?);
            if !members.is_voter(old) {
                return refused(format!("{old} is no voter"));
            }
            learner(new, force)?;
            change.remove(old).add_voter(new)
        }
    })
}

/// A learner that votes before it has caught up can keep everybody waiting.
fn caught_up(id: NodeId, rows: &[Row], leader: &StatusReport) -> Result<(), Failure> {
    let found = rows.iter().find(|row| row.id == id).map(|row| &row.answer);
    match found {
        Some(Ok(report)) if report.committed + CLOSE >= leader.committed => Ok(()),
        Some(Ok(report)) => refused(format!(
            "{id} has not caught up: it is at {} of {}. Wait, or say --force",
            report.committed, leader.committed
        )),
        Some(Err(why)) => {
            refused(format!("{id} does not answer ({why}). Start it, or say --force"))
        }
        None => refused(format!("nobody knows where {id} is. Say --force if you do")),
    }
}

/// Changes the members, and shows them.
pub(super) async fn change(
    args: &Args,
    cluster: &ClusterFile,
    wanted: &Wanted,
    guard: Guard,
) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let rows = survey::ask_all(args, cluster).await;
        let Some((row, report)) = survey::leader(&rows) else {
            if Instant::now() >= deadline {
                return Err(no_leader(&rows));
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let members = report.members.membership();
        if members == Membership::default() {
            return Err(fixed(cluster));
        }
        let change = compose(wanted, guard, &members, &rows, report)?;
        let answer = match ask(cluster, row.address, Wish::Change(change), deadline).await {
            // It was not heard, and soon somebody else may lead.
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            answer => answer?,
        };
        match answer {
            Ok(Granted::Members(members)) => {
                let mut details = members_json(&members);
                details["outcome"] = json!("changed");
                super::show(args, Exit::Ok, &members_text(&members), &details);
                return Ok(Exit::Ok);
            }
            Err(
                Denied::NotLeader(_)
                | Denied::Change(ChangeRefusal::NotLeader(_) | ChangeRefusal::TooEarly),
            ) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            other => return Ok(denied(args, other)),
        }
    }
}

/// `synod ctl transfer`.
pub(super) async fn transfer(args: &Args, cluster: &ClusterFile, to: u8) -> Outcome {
    let to = node(to)?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let rows = survey::ask_all(args, cluster).await;
    let (row, _) = survey::leader(&rows).ok_or_else(|| no_leader(&rows))?;
    match ask(cluster, row.address, Wish::Transfer(to), deadline).await? {
        Ok(Granted::Leads(leader)) => {
            let details = json!({ "outcome": "transferred", "leader": leader.0 });
            super::show(args, Exit::Ok, &format!("{leader} leads"), &details);
            Ok(Exit::Ok)
        }
        other => Ok(denied(args, other)),
    }
}

/// `synod ctl snapshot`.
pub(super) async fn snapshot(args: &Args, cluster: &ClusterFile) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let asked = NodeId(args.node);
    let address = cluster.addresses()[&asked];
    match ask(cluster, address, Wish::Snapshot, deadline).await? {
        Ok(Granted::Snapshot(index)) => {
            let text = format!("{asked} has a snapshot of everything up to {index}");
            let details = json!({ "outcome": "snapshot", "index": index.0 });
            super::show(args, Exit::Ok, &text, &details);
            Ok(Exit::Ok)
        }
        other => Ok(denied(args, other)),
    }
}

/// Asks one replica, and takes silence for an answer that is late. What was not heard there did
/// surely not happen.
async fn ask(
    cluster: &ClusterFile,
    address: SocketAddr,
    wish: Wish,
    deadline: Instant,
) -> Result<Result<Granted, Denied>, Failure> {
    let wait = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
    let algorithm = cluster.algorithm.0.info().name;
    match operate(address, cluster.cluster.0, algorithm, wish, wait).await {
        Ok(answer) => Ok(answer),
        Err(ClientError::NoAnswer(_) | ClientError::Protocol(_)) => Ok(Err(Denied::Late)),
        Err(error) => Err(super::not_asked(&error)),
    }
}

fn denied(args: &Args, answer: Result<Granted, Denied>) -> Exit {
    let why = match answer {
        Ok(other) => Denied::Refused(format!("an answer to something else: {other:?}")),
        Err(why) => why,
    };
    let exit = match why {
        Denied::Lost | Denied::Late => Exit::Unknown,
        Denied::Change(_) | Denied::NotLeader(_) | Denied::Refused(_) => Exit::Refused,
    };
    let outcome = if exit == Exit::Unknown { "unknown" } else { "refused" };
    let details = json!({ "outcome": outcome, "why": why.to_string() });
    super::show(args, exit, &format!("{outcome}: {why}"), &details);
    exit
}
