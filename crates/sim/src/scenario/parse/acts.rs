//! Reading what is more than a step: `run`, `partition`, `load` and the like.

use super::super::condition::Pattern;
use super::super::words::Words;
use super::super::{Act, Load};
use super::{Reader, conditions};
use consensus_core::NodeSet;

/// Clients of one load, so that a slip of the pen does not fill the memory.
const MOST_CLIENTS: u32 = 1_000;

impl Reader {
    /// Reads one. `None` if the line is something else.
    pub(super) fn act(&self, verb: &str, words: &mut Words) -> Result<Option<Act>, String> {
        let timed = ["pause", "resume", "slow", "stabilize", "load", "unload"];
        let by_hand = ["hold", "release", "explore", "recount"];
        if timed.contains(&verb) {
            self.needs_time(verb)?;
        } else if by_hand.contains(&verb) {
            self.needs_hands(verb)?;
        }
        let act = match verb {
            "link" => self.link(words)?,
            "isolate" => Act::Isolate(self.node(words)?),
            "partition" => self.partition(words)?,
            "heal" => Act::Heal,
            "hold" => Act::Hold(self.pattern(words)?),
            "release" => Act::Release,
            "drop" if words.take("all") => {
                self.needs_hands(verb)?;
                Act::Lose(self.pattern(words)?)
            }
            "run" => self.run(words)?,
            "explore" => {
                if !words.take("all") || !words.take("orders") {
                    return Err(words.expected("all orders"));
                }
                Act::ExploreOrders
            }
            "recount" => Act::Recount,
            "say" => Act::Say(words.text("a text in quotes")?),
            "pause" => Act::Pause(self.node(words)?),
            "resume" => Act::Resume(self.node(words)?),
            "slow" => Act::Slow(self.node(words)?, words.time()?),
            "stabilize" => Act::Stabilize,
            "load" => load(words)?,
            "unload" => Act::Unload,
            _ => return Ok(None),
        };
        Ok(Some(act))
    }

    /// `link S1 -> S4 down`.
    fn link(&self, words: &mut Words) -> Result<Act, String> {
        let from = self.node_set(words)?;
        if !words.take("->") {
            return Err(words.expected("-> or one more node"));
        }
        let to = self.node_set(words)?;
        let up = words.take("up");
        if !up && !words.take("down") {
            return Err(words.expected("up or down"));
        }
        Ok(Act::Link { from, to, up })
    }

    /// `partition A B | C D E`.
    fn partition(&self, words: &mut Words) -> Result<Act, String> {
        self.groups(words).map(Act::Partition)
    }

    /// `A B | C D E`.
    pub(super) fn groups(&self, words: &mut Words) -> Result<Vec<NodeSet>, String> {
        let mut groups = vec![self.node_set(words)?];
        while words.take("|") {
            groups.push(self.node_set(words)?);
        }
        let mut seen = NodeSet::EMPTY;
        for node in groups.iter().flat_map(|group| group.iter()) {
            if !seen.insert(node) {
                return Err(format!("{} is in two groups", self.names.of(node)));
            }
        }
        if groups.len() < 2 {
            return Err(words.expected("| and the nodes of another group"));
        }
        Ok(groups)
    }

    /// `accept P1 -> A1 A2`, `all`, or just links.
    pub(super) fn pattern(&self, words: &mut Words) -> Result<Pattern, String> {
        let kind = words.word("a kind of message, or all")?;
        let kind = Some(kind).filter(|kind| kind != "all");
        let node = words.peek().is_some_and(|word| self.names.find(word).is_some());
        if !node {
            return Ok(Pattern { kind, links: None });
        }
        let from = self.node_set(words)?;
        if !words.take("->") {
            return Err(words.expected("-> or one more node"));
        }
        Ok(Pattern { kind, links: Some((from, self.node_set(words)?)) })
    }

    /// `run`, `run 5s`, `run until leader S1 within 2s`.
    fn run(&self, words: &mut Words) -> Result<Act, String> {
        if words.is_empty() {
            self.needs_hands("run")?;
            return Ok(Act::Run);
        }
        if !words.take("until") {
            self.needs_time("run for a time")?;
            return Ok(Act::RunFor(words.time()?));
        }
        let conditions = self.conditions(words)?;
        let within = words.take("within").then(|| words.time()).transpose()?;
        match within {
            Some(_) => self.needs_time("within")?,
            None => self.needs_hands("run until something, without 'within 5s',")?,
        }
        Ok(Act::RunUntil(conditions, within))
    }
}

/// `load 4 clients every 5ms commands 100`.
fn load(words: &mut Words) -> Result<Act, String> {
    let clients: u32 = words.number("a number of clients")?;
    if !words.take("clients") {
        return Err(words.expected("clients"));
    }
    if clients > MOST_CLIENTS {
        return Err(format!("at most {MOST_CLIENTS} clients"));
    }
    let every = words.take("every").then(|| words.time()).transpose()?;
    if every.is_some_and(|every| every.is_zero()) {
        return Err("clients that ask all the time have no 'every'".into());
    }
    let commands = words.take("commands").then(|| words.number("a number of commands"));
    Ok(Act::Load(Load { clients, every, commands: commands.transpose()? }))
}

/// So that the words of conditions end where something else begins.
pub(super) fn ends(words: &Words) -> bool {
    words.is_empty() || words.peek().is_some_and(|word| conditions::JOINTS.contains(&word))
}
