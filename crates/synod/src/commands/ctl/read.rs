//! `synod ctl get`: how fresh an answer must be, and what that costs.

use super::{Args, call, connect, describe, show, survey};
use crate::exit::{Exit, Failure, Outcome};
use crate::files::ClusterFile;
use consensus_core::{Consistency, ReadMode, Refusal};
use serde_json::json;
use std::time::Duration;
use synod_kv::{KvCommand, KvResult};
use synod_runtime::ReadError;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// By an entry of the log.
    Log,
    /// Asked of a replica that does not lead.
    Follower,
    /// As the replicas know it.
    As(Consistency),
}

/// Reads `index`, `at-most=50ms` and so on.
pub(crate) fn parse(text: &str) -> Result<Freshness, String> {
    let linearizable = |mode| Ok(Freshness::As(Consistency::Linearizable(mode)));
    match text {
        "index" => linearizable(ReadMode::Index),
        "lease" => linearizable(ReadMode::Lease),
        "quorum" => linearizable(ReadMode::Quorum),
        "follower" => Ok(Freshness::Follower),
        "log" => Ok(Freshness::Log),
        "local" => Ok(Freshness::As(Consistency::Local)),
        _ => match text.strip_prefix("at-most=").map(duration) {
            Some(Some(bound)) => Ok(Freshness::As(Consistency::AtMost(bound))),
            Some(None) => Err("at-most= takes a time: at-most=50ms or at-most=2s".into()),
            None => {
                Err("choose from index, lease, quorum, follower, log, local and at-most=50ms"
                    .into())
            }
        },
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

/// Reads.
pub(super) async fn run(
    args: &Args,
    cluster: &ClusterFile,
    command: &KvCommand,
    wanted: Option<Freshness>,
) -> Outcome {
    let index = Consistency::Linearizable(ReadMode::Index);
    let consistency = match wanted {
        Some(Freshness::Log) => return call(args, cluster, command).await,
        Some(Freshness::As(consistency)) => consistency,
        Some(Freshness::Follower) | None => index,
    };
    let (mut client, identity) = connect(args, cluster)?;
    if wanted == Some(Freshness::Follower) {
        client.prefer(survey::follower(args, cluster).await?);
    }
    let answer = client.read(command.encode(), consistency).await;
    if wanted.is_none() && answer == Err(ReadError::Refused(Refusal::Unsupported)) {
        // The key of a client that signs is free again.
        drop((client, identity));
        return call(args, cluster, command).await;
    }
    match answer {
        Ok((index, result)) => {
            let (exit, text, mut details) = describe(KvResult::decode(&result));
            details["outcome"] = json!("read");
            details["index"] = json!(index.0);
            show(args, exit, &text, &details);
            Ok(exit)
        }
        Err(ReadError::Unreachable(why)) => {
            let message = format!("no replica could be reached: {why}");
            Err(Failure { exit: Exit::Unreachable, message })
        }
        Err(ReadError::Refused(Refusal::Unsupported)) => {
            let text = format!(
                "refused: {} does not offer such reads as it is configured; read through the log, \
                 with --consistency log",
                cluster.algorithm
            );
            show(
                args,
                Exit::Refused,
                &text,
                &json!({ "outcome": "refused", "why": "unsupported" }),
            );
            Ok(Exit::Refused)
        }
        Err(error) => {
            let details = json!({ "outcome": "refused", "why": error.to_string() });
            show(args, Exit::Refused, &error.to_string(), &details);
            Ok(Exit::Refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_read_and_nonsense_is_answered_with_the_choices() {
        assert_eq!(parse("log"), Ok(Freshness::Log));
        let bound = Consistency::AtMost(Duration::from_millis(50));
        assert_eq!(parse("at-most=50ms"), Ok(Freshness::As(bound)));
        let bound = Consistency::AtMost(Duration::from_secs(2));
        assert_eq!(parse("at-most=2s"), Ok(Freshness::As(bound)));
        for wrong in ["", "fresh", "at-most", "at-most=", "at-most=5", "at-most=-1s"] {
            assert!(parse(wrong).unwrap_err().contains("at-most=50ms"), "{wrong}");
        }
    }
}
