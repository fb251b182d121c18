//! Questions that need no entry of the log.

use super::{ClusterClient, MAX_FRAME};
use crate::client_link::LinkEvent;
use crate::wire::ToReplica;
use bytes::Bytes;
use consensus_core::{Ask, Consistency, LogIndex, NodeId, Refusal};
use core::time::Duration;
use std::fmt;
use tokio::time::sleep_until;

/// Why a question got no answer. Asking again is always safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The replicas said no, in the end for this reason.
    Refused(Refusal),
    /// Nobody answered in time.
    NoAnswer,
    /// No replica could be reached. With what each connection said.
    Unreachable(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::NoAnswer => f.write_str("no answer in time"),
            Self::Unreachable(why) => write!(f, "no replica could be reached: {why}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl ClusterClient {
    /// Asks the state machine a question, and waits for the answer: with the index of the log as of
    /// which it holds. Changes nothing, takes no session, and is no entry of the log.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn read(
        &mut self,
        question: Bytes,
        consistency: Consistency,
    ) -> Result<(LogIndex, Bytes), ReadError> {
        if question.len() > MAX_FRAME / 2 {
            return Err(ReadError::Refused(Refusal::TooLarge));
        }
        while let Ok(event) = self.events.try_recv() {
            self.note(&event);
        }
        let first = self.serial + 1;
        let mut ask = self.querier.begin(self.started.elapsed(), question, consistency);
        loop {
            match ask {
                Ask::Send(to, query) => self.send(to.into(), &ToReplica::Query(query)),
                Ask::Wait => {}
                Ask::Ended(Ok(answer)) => return Ok(answer),
                Ask::Ended(Err(_)) if self.departures.call_back(first, self.serial) => {
                    return Err(ReadError::Unreachable(self.said()));
                }
                Ask::Ended(Err(why)) => {
                    return Err(why.map_or(ReadError::NoAnswer, ReadError::Refused));
                }
            }
            let wake = self.started + self.querier.wake_at().unwrap_or(Duration::MAX / 4);
            ask = tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.on_read_event(event),
                () = sleep_until(wake) => self.querier.tick(self.started.elapsed()),
            };
        }
    }

    /// Questions go to this replica first from now on. Any replica may be asked.
    pub fn prefer(&mut self, node: NodeId) {
        self.querier.prefer(node);
    }

    fn on_read_event(&mut self, event: LinkEvent) -> Ask {
        self.note(&event);
        let now = self.started.elapsed();
        match event {
            LinkEvent::Answer(reply) => self.querier.receive(now, &reply),
            LinkEvent::Down { node, unsent, broken, .. }
                if unsent == Some(self.serial) || broken == Some(self.serial) =>
            {
                self.querier.disconnected(now, node)
            }
            _ => Ask::Wait,
        }
    }
}
