//! What the replicas say about themselves: all are asked at once, and those that they name, too.

use super::Args;
use crate::exit::{Exit, Failure, Outcome};
use crate::files::ClusterFile;
use crate::output::say;
use consensus_core::NodeId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use synod_runtime::{ClientError, StatusReport};

/// One replica, or why it did not answer.
pub(super) struct Row {
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
    pub(super) answer: Result<StatusReport, String>,
}

/// Asks every replica that is known, and then those that the first ones named.
pub(super) async fn ask_all(args: &Args, cluster: &ClusterFile) -> Vec<Row> {
    let mut rows = ask(args, cluster, cluster.addresses()).await;
    let mut named = BTreeMap::new();
    for report in rows.iter().filter_map(|row| row.answer.as_ref().ok()) {
        for (node, contact) in &report.members.contacts {
            if let Ok(address) = contact.parse()
                && !rows.iter().any(|row| row.id == *node)
            {
                named.insert(*node, address);
            }
        }
    }
    rows.extend(ask(args, cluster, named).await);
    rows.sort_by_key(|row| row.id);
    rows
}

async fn ask(
    args: &Args,
    cluster: &ClusterFile,
    addresses: BTreeMap<NodeId, SocketAddr>,
) -> Vec<Row> {
    let patience = Duration::from_secs(args.timeout.min(2));
    let mut asked = Vec::new();
    for (id, address) in addresses {
        let question = tokio::spawn(synod_runtime::client::status(address, patience));
        asked.push((id, address, question));
    }
    let mut rows = Vec::new();
    for (id, address, question) in asked {
        let answer = match question.await {
            Ok(Ok(report)) => report.check(cluster.cluster.0, id).map(|()| report),
            Ok(Err(
                ClientError::Unreachable(why)
                | ClientError::Refused(why)
                | ClientError::NoAnswer(why),
            )) => Err(why.trim_start_matches(&format!("{address}: ")).to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        rows.push(Row { id, address, answer });
    }
    rows
}

/// The row of the leader: of several that believe to lead, the one of the highest term.
pub(super) fn leader(rows: &[Row]) -> Option<(&Row, &StatusReport)> {
    let reports = rows.iter().filter_map(|row| Some((row, row.answer.as_ref().ok()?)));
    reports.filter(|(_, report)| report.role == "leader").max_by_key(|(_, report)| report.epoch)
}

/// A replica that answers, and does not lead.
pub(super) async fn follower(args: &Args, cluster: &ClusterFile) -> Result<NodeId, Failure> {
    let rows = ask_all(args, cluster).await;
    let follows = |row: &&Row| {
        row.answer.as_ref().is_ok_and(|report| report.role == "follower")
            && cluster.addresses().contains_key(&row.id)
    };
    match rows.iter().find(follows) {
        Some(row) => Ok(row.id),
        None => Err(Failure {
            exit: Exit::Unreachable,
            message: "no follower could be reached; see synod ctl status".into(),
        }),
    }
}

/// `synod ctl status`.
pub(super) async fn status(args: &Args, cluster: &ClusterFile) -> Outcome {
    let rows = ask_all(args, cluster).await;
    if args.json {
        say(json!({ "nodes": rows.iter().map(Row::json).collect::<Vec<_>>() }).to_string());
    } else {
        say(HEAD);
        for row in &rows {
            say(row.text());
        }
    }
    let anybody = rows.iter().any(|row| row.answer.is_ok());
    Ok(if anybody { Exit::Ok } else { Exit::Unreachable })
}

const HEAD: &str = "node  address                role       votes     epoch  leader  version  \
                    committed    applied   snapshot     purged       last  starts  up";

/// Votes, learns, or takes no part, as far as the replica itself knows.
fn vote(id: NodeId, report: &StatusReport) -> &'static str {
    let members = report.members.membership();
    if members == Default::default() {
        "-"
    } else if members.is_voter(id) {
        if members.is_joint() { "joint" } else { "voter" }
    } else if members.learners.contains(id) {
        "learner"
    } else {
        "no member"
    }
}

impl Row {
    fn text(&self) -> String {
        let node = self.id.to_string();
        let address = self.address.to_string();
        match &self.answer {
            Ok(report) => {
                let leader = report.leader.map_or_else(|| "-".to_owned(), |node| node.to_string());
                format!(
                    "{node:<4}  {address:<21}  {:<9}  {:<9} {:>5}  {leader:>6}  {:>7}  {:>9}  \
                     {:>9}  {:>9}  {:>9}  {:>9}  {:>6}  {} s",
                    report.role,
                    vote(self.id, report),
                    report.epoch,
                    report.members.version,
                    report.committed,
                    report.applied,
                    report.snapshot,
                    report.purged,
                    report.last,
                    report.incarnation,
                    report.uptime_ms / 1000,
                )
            }
            Err(why) => format!("{node:<4}  {address:<21}  {why}"),
        }
    }

    fn json(&self) -> Value {
        match &self.answer {
            Ok(report) => {
                let mut row = json!(report);
                row["address"] = json!(self.address.to_string());
                row
            }
            Err(why) => json!({
                "node": self.id.0, "address": self.address.to_string(), "error": why,
            }),
        }
    }
}
