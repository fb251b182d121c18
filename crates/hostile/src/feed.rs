//! Bytes as a source of choices: equal bytes, equal choices. When they run out, every choice is 0.

use bytes::Bytes;
use consensus_core::{Batch, ClientId, Command, RequestId, SessionId, Tag};

/// Reads choices off bytes.
#[derive(Clone, Debug)]
pub struct Feed<'a> {
    rest: &'a [u8],
    /// Numbers that mean something just now (a term, an index), so that guesses come close.
    pub hints: Vec<u64>,
    /// No number is higher.
    pub ceiling: u64,
}

impl<'a> Feed<'a> {
    /// Choices from these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, hints: Vec::new(), ceiling: u64::MAX }
    }

    /// No choices left?
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Some bytes; fewer if there are no more.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Eight bytes as a number.
    pub fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let taken = self.take(8);
        word[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(word)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = usize::from(self.byte());
        let number = if bound > 256 { number << 8 | usize::from(self.byte()) } else { number };
        number.checked_rem(bound).unwrap_or(0)
    }

    /// True so many times in 256.
    pub fn chance(&mut self, of: u8) -> bool {
        self.byte() < of
    }

    /// A number such as hostile and honest messages carry: small, near one that means something,
    /// at the edge of a type, or any.
    pub fn number(&mut self) -> u64 {
        const EDGES: [u64; 8] =
            [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 62) - 1, 1 << 62, 1 << 32, 1 << 16, 255];
        let number = match self.byte() {
            class @ 0..96 => u64::from(class) % 12,
            class @ 96..208 if !self.hints.is_empty() => {
                let hint = self.hints[usize::from(class) % self.hints.len()];
                hint.wrapping_add(u64::from(self.byte() % 5)).wrapping_sub(2)
            }
            class @ 208..240 => EDGES[usize::from(class) % EDGES.len()],
            _ => self.word(),
        };
        number.min(self.ceiling)
    }

    /// Bytes such as messages carry: none, a batch of commands, or anything.
    pub fn blob(&mut self) -> Bytes {
        match self.byte() {
            0..64 => Bytes::new(),
            64..200 => self.batch().bytes().clone(),
            _ => {
                let length = usize::from(self.byte());
                Bytes::copy_from_slice(self.take(length))
            }
        }
    }

    /// A batch of a few commands.
    pub fn batch(&mut self) -> Batch {
        let count = self.below(4);
        let commands: Vec<_> = (0..count).map(|_| self.command()).collect();
        Batch::of(&commands)
    }

    /// A command of a client.
    pub fn command(&mut self) -> Command {
        let (payload, tag) = (self.below(20), self.below(3));
        Command {
            client: ClientId(self.number()),
            session: SessionId(self.number()),
            request: RequestId(self.number()),
            payload: Bytes::copy_from_slice(self.take(payload)),
            tag: Tag(Bytes::copy_from_slice(self.take(tag * 32))),
        }
    }
}
