//! The words of one line of a scenario.

use consensus_core::{NodeId, NodeSet};
use std::fmt::Display;
use std::str::FromStr;

/// A word, or a text in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Plain(String),
    Quoted(String),
}

/// The words of a line that were not read yet.
#[derive(Debug)]
pub(super) struct Words {
    words: std::vec::IntoIter<Word>,
}

impl Words {
    /// Cuts a line into words. A comment is not among them.
    pub(super) fn of(line: &str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                ' ' | '\t' | '\r' => {}
                '"' => words.push(Word::Quoted(quoted(&mut letters)?)),
                ',' | '!' if letters.peek() != Some(&'=') => {
                    words.push(Word::Plain(letter.to_string()));
                }
                // `#2` picks a message; anything else after a # is a comment.
                '#' if words.is_empty() => break,
                '#' if !letters
                    .peek()
                    .is_some_and(|next| next.is_ascii_digit() || *next == 'x') =>
                {
                    break;
                }
                first => {
                    let mut word = String::from(first);
                    while let Some(more) =
                        letters.next_if(|next| !matches!(next, ' ' | '\t' | '\r' | ',' | '"'))
                    {
                        word.push(more);
                    }
                    words.push(Word::Plain(word));
                }
            }
        }
        Ok(Self { words: words.into_iter() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.len() == 0
    }

    fn peek(&self) -> Option<&str> {
        match self.words.as_slice().first()? {
            Word::Plain(word) => Some(word),
            Word::Quoted(_) => None,
        }
    }

    /// "expected this, found that".
    pub(super) fn expected(&self, what: impl Display) -> String {
        match self.words.as_slice().first() {
            None => format!("expected {what}, found the end of the line"),
            Some(Word::Plain(word)) => format!("expected {what}, found '{word}'"),
            Some(Word::Quoted(text)) => format!("expected {what}, found the text \"{text}\""),
        }
    }

    /// Is the next word one that picks a message?
    pub(super) fn picks(&self) -> bool {
        self.peek().is_some_and(|word| word.starts_with('#'))
    }

    /// Takes this word, if it is the next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        if there {
            self.words.next();
        }
        there
    }

    /// The next word, whatever it is.
    pub(super) fn word(&mut self, what: &str) -> Result<String, String> {
        match self.words.as_slice().first() {
            Some(Word::Plain(_)) => {}
            _ => return Err(self.expected(what)),
        }
        match self.words.next() {
            Some(Word::Plain(word) | Word::Quoted(word)) => Ok(word),
            None => Err(format!("expected {what}")),
        }
    }

    /// The next word, a text in quotes.
    pub(super) fn text(&mut self, what: &str) -> Result<String, String> {
        match self.words.as_slice().first() {
            Some(Word::Quoted(_)) => {}
            _ => return Err(self.expected(what)),
        }
        match self.words.next() {
            Some(Word::Plain(word) | Word::Quoted(word)) => Ok(word),
            None => Err(format!("expected {what}")),
        }
    }

    pub(super) fn number<N: FromStr>(&mut self, what: &str) -> Result<N, String> {
        let number = self.peek().and_then(|word| word.parse().ok());
        let number = number.ok_or_else(|| self.expected(what))?;
        self.words.next();
        Ok(number)
    }

    /// A node, if the next word is one.
    pub(super) fn maybe_node(&mut self) -> Option<NodeId> {
        let digits = self.peek()?.strip_prefix('n')?;
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        let node = digits.parse().ok().filter(|_| plain)?;
        self.words.next();
        Some(NodeId(node))
    }

    pub(super) fn node(&mut self) -> Result<NodeId, String> {
        self.maybe_node().ok_or_else(|| self.expected("a node such as n0"))
    }

    /// All nodes that come next, at least one, each once: so a line is not many more steps than it
    /// has letters.
    pub(super) fn nodes(&mut self) -> Result<Vec<NodeId>, String> {
        let mut nodes = vec![self.node()?];
        let mut seen: NodeSet = nodes.iter().copied().collect();
        while let Some(node) = self.maybe_node() {
            if !seen.insert(node) {
                return Err(format!("{node} is named twice, or beyond all clusters"));
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), String> {
        if self.is_empty() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }
}

fn quoted(letters: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match letters.next() {
            None => return Err("a text in quotes has no end".into()),
            Some('"') => return Ok(text),
            Some('\\') => match letters.next() {
                Some('n') => text.push('\n'),
                Some(letter @ ('"' | '\\')) => text.push(letter),
                _ => return Err("expected \\\\, \\\" or \\n after a \\".into()),
            },
            Some(letter) => text.push(letter),
        }
    }
}
