//! What the words of a scenario mean in one protocol. The player knows none: who knows the
//! protocol's types teaches it.

use super::act::Memory;
use super::item::Item;
use bytes::Bytes;
use consensus_core::{
    Audit, Batch, ClientId, Command, Fingerprint, NodeId, RequestId, SessionId, Tag,
};

/// Translates between a scenario and one protocol.
pub trait Vocabulary<P: Audit> {
    /// The records of a node that remembers this: `setup S1 log [1,1] [2,2]`.
    ///
    /// # Errors
    /// If the protocol remembers no such things.
    fn disk(&self, memory: &[&Memory]) -> Result<Vec<P::Record>, String> {
        match memory.first() {
            None => Ok(Vec::new()),
            Some(first) => Err(format!("{} remembers no '{}'", P::INFO.name, first.what)),
        }
    }

    /// What a node holds: `log`, `vote`, `promised`.
    ///
    /// # Errors
    /// If the protocol holds no such thing.
    fn look(&self, sight: &Sight<'_, P>, what: &str, which: &[Item]) -> Result<Vec<Item>, String> {
        let _ = (sight, which);
        Err(format!("there is no '{what}' in {}", P::INFO.name))
    }

    /// What a message says, by the names of its paper: `prev=[3,5]`.
    fn tell(&self, message: &P::Message) -> Vec<String> {
        let _ = message;
        Vec::new()
    }
}

/// A node that is looked at.
#[derive(Debug)]
pub struct Sight<'a, P: Audit> {
    /// Which.
    pub node: NodeId,
    /// The replica; `None` while it is down.
    pub replica: Option<&'a P>,
    /// What it wrote, on the disk already or not.
    pub disk: &'a [P::Record],
}

/// No words beside those of all protocols.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommonWords;

impl<P: Audit> Vocabulary<P> for CommonWords {}

/// The command that says this: one request of a client of its own, who never opened a session.
pub fn command_of(text: &str) -> Command {
    Command {
        client: ClientId(Fingerprint::of(text.as_bytes()).0 | (1 << 63)),
        session: SessionId(u64::MAX),
        request: RequestId(1),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        tag: Tag::none(),
    }
}

/// A batch of one command that says this.
pub fn batch_of(text: &str) -> Batch {
    Batch::of(&[command_of(text)])
}

/// What the commands of a batch say; a batch of none is a no-op.
pub fn said_by(batch: &Batch) -> Vec<Item> {
    if batch.is_membership() {
        return vec![Item::word("members")];
    }
    let text = |command: Command| match std::str::from_utf8(&command.payload) {
        Ok(text) => Item::Text(text.to_owned()),
        Err(_) => Item::Text(super::payload_text(&command.payload)),
    };
    let said: Vec<Item> = batch.commands().map(text).collect();
    if said.is_empty() { vec![Item::word("no-op")] } else { said }
}
