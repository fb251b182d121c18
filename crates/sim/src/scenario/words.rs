//! The words of one line of a scenario.

use super::item::Item;
use super::names::Names;
use consensus_core::{NodeId, NodeSet};
use core::time::Duration;
use std::fmt::Display;
use std::rc::Rc;
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
    names: Rc<Names>,
}

impl Words {
    /// Cuts a line into words. A comment is not among them.
    pub(super) fn of(line: &str, names: Rc<Names>) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                ' ' | '\t' | '\r' => {}
                '"' => words.push(Word::Quoted(quoted(&mut letters)?)),
                ',' | '!' if letters.peek() != Some(&'=') => {
                    words.push(Word::Plain(letter.to_string()));
                }
                '[' => words.push(Word::Plain(bracketed(&mut letters)?)),
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
        Ok(Self { words: words.into_iter(), names })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.len() == 0
    }

    pub(super) fn peek(&self) -> Option<&str> {
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
        let node = self.names.find(self.peek()?)?;
        self.words.next();
        Some(node)
    }

    /// A time, as `150ms`.
    pub(super) fn time(&mut self) -> Result<Duration, String> {
        let time = self.peek().and_then(time_of);
        let time = time.ok_or_else(|| self.expected("a time such as 150ms, 5s or 20us"))?;
        self.words.next();
        Ok(time)
    }

    /// A share, as `1%` or `0.5%`, in ten thousandths.
    pub(super) fn share(&mut self) -> Result<u32, String> {
        let share = self.peek().and_then(share_of);
        let share = share.ok_or_else(|| self.expected("a share such as 1% or 0.5%"))?;
        self.words.next();
        Ok(share)
    }

    /// A value, whatever it is.
    pub(super) fn item(&mut self) -> Result<Item, String> {
        if let Some(node) = self.maybe_node() {
            return Ok(Item::Node(node));
        }
        match self.words.next() {
            None => Err("expected a value, found the end of the line".into()),
            Some(Word::Quoted(text)) => Ok(Item::Text(text)),
            Some(Word::Plain(word)) => {
                let ballot = word
                    .split_once('.')
                    .and_then(|(round, node)| Some((round.parse().ok()?, self.names.find(node)?)));
                Ok(match ballot {
                    Some((round, node)) => Item::Ballot(round, node),
                    None => Item::Word(word),
                })
            }
        }
    }

    pub(super) fn node(&mut self) -> Result<NodeId, String> {
        let found = self.maybe_node();
        found.ok_or_else(|| self.expected(format!("a node such as {}", self.names.of(NodeId(0)))))
    }

    /// All nodes that come next, at least one, each once: so a line is not many more steps than it
    /// has letters.
    pub(super) fn nodes(&mut self) -> Result<Vec<NodeId>, String> {
        let mut nodes = vec![self.node()?];
        let mut seen: NodeSet = nodes.iter().copied().collect();
        while let Some(node) = self.maybe_node() {
            if !seen.insert(node) {
                let name = self.names.of(node);
                return Err(format!("{name} is named twice, or beyond all clusters"));
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

/// `[2,3]` is one word.
fn bracketed(letters: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut word = String::from("[");
    for letter in letters {
        match letter {
            ' ' => {}
            ']' => return Ok(word + "]"),
            '0'..='9' | ',' => word.push(letter),
            _ => break,
        }
    }
    Err("expected numbers between brackets, as [2,3]".into())
}

/// `150ms`.
fn time_of(word: &str) -> Option<Duration> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = word[..digits].parse().ok()?;
    match &word[digits..] {
        "ns" if number <= 1_000_000_000_000_000 => Some(Duration::from_nanos(number)),
        _ if number > 1_000_000_000 => None,
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" if number <= 1_000_000 => Some(Duration::from_secs(number)),
        _ => None,
    }
}

/// `0.5%`, in ten thousandths.
fn share_of(word: &str) -> Option<u32> {
    let number = word.strip_suffix('%')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    let share = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)?;
    (share <= 10_000).then_some(share)
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
