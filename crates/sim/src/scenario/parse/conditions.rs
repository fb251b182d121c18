//! Reading conditions and expectations.

use super::super::condition::{Condition, Number, Span};
use super::super::item::Item;
use super::super::words::Words;
use super::super::{Compare, Expectation, Formula};
use super::Reader;
use super::acts::ends;

/// Words that end the values of a condition.
pub(super) const JOINTS: [&str; 2] = ["and", "within"];
/// How often "not" can be said of one thing.
const MOST_NOTS: u32 = 8;

const CONDITIONS: &str = "leader, no leader, down, committed, epoch, count, on-way, chosen, \
                          answered, unknown, elections, gap, slowest, median, linearizable, or \
                          a word of the algorithm such as log";

impl Reader {
    pub(super) fn expectation(&self, words: &mut Words) -> Result<Expectation, String> {
        match words.peek() {
            Some("safe") => {
                words.take("safe");
                Ok(Expectation::Safe)
            }
            Some("violation") => {
                words.take("violation");
                Ok(Expectation::Violation(words.word("an oracle such as O1")?))
            }
            Some("never") => {
                words.take("never");
                Ok(Expectation::Never(self.conditions(words)?))
            }
            Some("outcomes") => {
                words.take("outcomes");
                if !words.take("==") {
                    return Err(words.expected("=="));
                }
                Ok(Expectation::Outcomes(items(words)?))
            }
            Some("trace") => {
                words.take("trace");
                let pattern = self.pattern(words)?;
                if !words.take("==") {
                    return Err(words.expected("== and texts in quotes"));
                }
                let mut lines = Vec::new();
                while !words.is_empty() {
                    lines.push(words.text("what a message says, in quotes")?);
                }
                Ok(Expectation::Trace(pattern, lines))
            }
            _ => Ok(Expectation::Now(self.conditions(words)?)),
        }
    }

    /// One or more, with `and` between.
    pub(super) fn conditions(&self, words: &mut Words) -> Result<Vec<Condition>, String> {
        let mut all = vec![self.condition(words, 0)?];
        while words.take("and") {
            all.push(self.condition(words, 0)?);
        }
        Ok(all)
    }

    fn condition(&self, words: &mut Words, nots: u32) -> Result<Condition, String> {
        let what = words.word(&format!("safe, violation, never, trace, {CONDITIONS}"))?;
        let condition = match &*what {
            "not" if nots < MOST_NOTS => Condition::Not(Box::new(self.condition(words, nots + 1)?)),
            "leader" => Condition::Leader(self.node(words)?),
            "no" if words.take("leader") => Condition::NoLeader,
            "down" => Condition::Down(self.node(words)?),
            "committed" => self.number(Number::Committed(self.node(words)?), words)?,
            "epoch" => self.number(Number::Epoch(self.node(words)?), words)?,
            "count" => self.number(Number::Count(self.pattern(words)?), words)?,
            "on-way" => self.number(Number::OnWay(self.pattern(words)?), words)?,
            "answered" => self.number(Number::Answered, words)?,
            "unknown" => self.number(Number::Unknown, words)?,
            "elections" => self.number(Number::Elections, words)?,
            "gap" => time(Span::Gap, words)?,
            "slowest" => time(Span::Slowest, words)?,
            "median" => time(Span::Median, words)?,
            "linearizable" => Condition::Linearizable,
            "chosen" if !self.comes_node(words) => {
                Condition::Chosen(compare(words)?, items(words)?)
            }
            _ if self.comes_node(words) => {
                let node = self.node(words)?;
                let mut which = Vec::new();
                while !ends(words) && !Compare::ALL.iter().any(|it| words.peek() == Some(it.word()))
                {
                    which.push(words.item()?);
                }
                let compare = compare(words)?;
                Condition::Holds { what, node, which, compare, values: items(words)? }
            }
            _ => return Err(format!("expected {CONDITIONS} and a node; found '{what}'")),
        };
        Ok(condition)
    }

    fn comes_node(&self, words: &Words) -> bool {
        words.peek().is_some_and(|word| self.names.find(word).is_some())
    }

    fn number(&self, number: Number, words: &mut Words) -> Result<Condition, String> {
        let compare = compare(words)?;
        let formula = Formula::parse(&words.word("a number or a formula such as 4*(n-1)")?)?;
        Ok(Condition::Number(number, compare, formula))
    }
}

fn time(span: Span, words: &mut Words) -> Result<Condition, String> {
    Ok(Condition::Time(span, compare(words)?, words.time()?))
}

fn compare(words: &mut Words) -> Result<Compare, String> {
    let found = Compare::ALL.into_iter().find(|compare| words.take(compare.word()));
    found.ok_or_else(|| words.expected("==, !=, <=, >=, < or >"))
}

/// All values that come next; `nothing` is none.
pub(super) fn items(words: &mut Words) -> Result<Vec<Item>, String> {
    let mut all = vec![words.item()?];
    while !ends(words) {
        all.push(words.item()?);
    }
    if all == [Item::word("nothing")] { Ok(Vec::new()) } else { Ok(all) }
}
