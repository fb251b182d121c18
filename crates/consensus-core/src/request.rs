//! What a client and a replica say to each other: the same for every algorithm.

use crate::auth::Tag;
use crate::batch::Command;
use crate::canonical::Canonical;
use crate::effects::Refusal;
use crate::id::{ClientId, ClusterId, NodeId, Position, RequestId, SessionId};
use crate::mutant::planted;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One attempt of a client at one command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// Counts the attempts; the answer repeats it, so that a late refusal of an earlier attempt
    /// is not taken for one of this attempt.
    pub attempt: u32,
    /// The command; the same in all attempts.
    pub command: Command,
}

/// What one replica answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// The replica.
    pub from: NodeId,
    /// The client.
    pub client: ClientId,
    /// The command's session.
    pub session: SessionId,
    /// The command's number.
    pub request: RequestId,
    /// The attempt that it answers; an answer that needs none (PBFT's backups) says 0.
    pub attempt: u32,
    /// The answer.
    pub answer: Answer,
    /// The replica's signature, where a single replica is not believed; else empty.
    pub tag: Tag,
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// Applied, once, at this position, with this result; also given to a repeated request.
    Done {
        /// Where in the log.
        position: Position,
        /// What the state machine said. Empty when a session was opened.
        result: Bytes,
    },
    /// Not applied: a later request of the session was applied before it.
    Stale,
    /// Not applied at this position: the session is not open (any more).
    Expired,
    /// This attempt was not taken and left no trace.
    Refused(Refusal),
    /// This attempt was taken, but the replica no longer leads: it may or may not be applied.
    /// Ask the new leader, if one is known, with the same request.
    Lost(Option<NodeId>),
}

impl Reply {
    /// What a replica signs.
    pub fn signed_bytes(&self, cluster: ClusterId) -> Vec<u8> {
        let fields = Canonical::new(cluster, "reply")
            .number(u64::from(self.from.0))
            .number(self.client.0)
            .number(self.session.0)
            .number(if planted("K07") { 0 } else { self.request.0 })
            .number(u64::from(self.attempt));
        let node = |node: Option<NodeId>| node.map_or(u64::MAX, |node| u64::from(node.0));
        match &self.answer {
            Answer::Done { position, result } => fields
                .number(0)
                .number(position.index.0)
                .number(u64::from(position.offset))
                .bytes(result),
            Answer::Stale => fields.number(1),
            Answer::Expired => fields.number(2),
            Answer::Refused(Refusal::NotLeader(leader)) => fields.number(3).number(node(*leader)),
            Answer::Refused(Refusal::Busy) => fields.number(4),
            Answer::Refused(Refusal::TooLarge) => fields.number(5),
            Answer::Refused(Refusal::BadSignature) => fields.number(6),
            Answer::Refused(Refusal::Stopping) => fields.number(7),
            Answer::Refused(Refusal::Unsupported) => fields.number(9),
            Answer::Lost(leader) => fields.number(8).number(node(*leader)),
        }
        .finish()
    }
}
