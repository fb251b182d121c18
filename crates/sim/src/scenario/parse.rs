//! Reading scenarios. Any text is read or refused with the number of the line and what was
//! expected there; nothing that is read makes the player panic.

use super::step::{Action, Cut, Name, Pick, Proposal, Step};
use super::words::Words;
use super::{Compare, Entry, Expectation, Line, Scenario};
use crate::registers::Operation;
use bytes::Bytes;
use consensus_core::{ClientId, NodeId, NodeSet, RequestId, SessionId};
use std::fmt;

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScenario {
    /// In which line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadScenario {}

/// Lines that say what the stage is like come before those that move it.
const HEADERS: &str = "scenario, algo, nodes, net, seed, traitors, disks, mutant";
const STEPS: &str = "deliver, dup, drop, timeout, propose, sync, crash, restart, campaign, \
                     simulate, expect";

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// With the first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, BadScenario> {
        let mut reader = Reader::new();
        let mut lines = 0;
        for (place, line) in text.lines().enumerate() {
            lines = place + 1;
            let read = reader.line(lines, line);
            read.map_err(|why| BadScenario { line: lines, why })?;
        }
        reader.finish().map_err(|why| BadScenario { line: lines.max(1), why })
    }
}

struct Reader {
    scenario: Scenario,
    simulated: bool,
}

impl Reader {
    fn new() -> Self {
        let scenario = Scenario {
            comments: Vec::new(),
            title: String::new(),
            algo: String::new(),
            smallest: false,
            nodes: 0,
            seed: 0,
            traitors: NodeSet::EMPTY,
            instant: NodeSet::EMPTY,
            mutant: None,
            entries: Vec::new(),
        };
        Self { scenario, simulated: false }
    }

    fn finish(self) -> Result<Scenario, String> {
        if self.scenario.algo.is_empty() {
            return Err("expected a line 'algo NAME' somewhere".into());
        }
        if self.scenario.nodes == 0 {
            return Err("expected a line 'nodes COUNT' somewhere".into());
        }
        Ok(self.scenario)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(comment) = line.trim().strip_prefix('#') {
            if self.scenario.title.is_empty() && self.scenario.algo.is_empty() {
                let comment = comment.strip_prefix(' ').unwrap_or(comment);
                self.scenario.comments.push(comment.trim_end().to_owned());
            }
            return Ok(());
        }
        let mut words = Words::of(line)?;
        if words.is_empty() {
            return Ok(());
        }
        let verb = words.word(&format!("one of {HEADERS}, {STEPS}"))?;
        if !self.header(&verb, &mut words)? {
            let entries = self.entry(&verb, &mut words)?;
            let line = |entry| Line { number, entry };
            self.scenario.entries.extend(entries.into_iter().map(line));
        }
        words.end()
    }

    /// Reads a header line. False if it is none.
    fn header(&mut self, verb: &str, words: &mut Words) -> Result<bool, String> {
        match verb {
            "scenario" => self.scenario.title = words.text("a title in quotes")?,
            "algo" => {
                self.scenario.algo = words.word("the name of an algorithm")?;
                self.scenario.smallest = words.take("sizes=smallest");
            }
            "nodes" => {
                let nodes = words.number("a number of nodes")?;
                if !(1..=NodeId::LIMIT).contains(&nodes) {
                    return Err(format!("a cluster has 1 to {} nodes", NodeId::LIMIT));
                }
                if self.scenario.nodes != 0 {
                    return Err("the number of nodes was said before".into());
                }
                self.scenario.nodes = nodes;
            }
            "net" if words.take("manual") => {}
            "net" => return Err(words.expected("manual; messages move by steps only")),
            "seed" => self.scenario.seed = words.number("a number")?,
            "traitors" => self.scenario.traitors = self.node_set(words)?,
            "disks" => {
                if !words.take("instant") {
                    return Err(words.expected("instant, and nodes or the end of the line"));
                }
                let all = words.is_empty();
                self.some_nodes()?;
                self.scenario.instant =
                    if all { NodeSet::first(self.scenario.nodes) } else { self.node_set(words)? };
            }
            "mutant" => self.scenario.mutant = Some(words.word("the name of a planted bug")?),
            _ => return Ok(false),
        }
        let early = self.scenario.entries.is_empty();
        if early { Ok(true) } else { Err(format!("'{verb}' comes before all steps")) }
    }

    fn some_nodes(&self) -> Result<(), String> {
        if self.scenario.nodes > 0 {
            return Ok(());
        }
        Err("a line 'nodes COUNT' comes before lines that name nodes".into())
    }

    fn node_set(&self, words: &mut Words) -> Result<NodeSet, String> {
        words.nodes()?.into_iter().map(|node| self.known(node)).collect()
    }

    fn known(&self, node: NodeId) -> Result<NodeId, String> {
        self.some_nodes()?;
        if node.index() < self.scenario.nodes {
            return Ok(node);
        }
        Err(format!("there is no {node} among {} nodes", self.scenario.nodes))
    }

    fn node(&self, words: &mut Words) -> Result<NodeId, String> {
        let node = words.node()?;
        self.known(node)
    }

    fn entry(&mut self, verb: &str, words: &mut Words) -> Result<Vec<Entry>, String> {
        self.some_nodes()?;
        if verb == "expect" {
            return Ok(vec![Entry::Expect(self.expectation(words)?)]);
        }
        if verb == "simulate" {
            let mut reductions = Vec::new();
            while !words.is_empty() {
                reductions.push(words.word("KEY=VALUE")?.parse()?);
            }
            if !self.scenario.entries.is_empty() {
                return Err("'simulate' stands alone: it comes first, and no steps follow".into());
            }
            self.simulated = true;
            return Ok(vec![Entry::Simulate(reductions)]);
        }
        if self.simulated {
            return Err("after 'simulate' only 'expect' can follow".into());
        }
        let mut steps: Vec<Step> = self.actions(verb, words)?.into_iter().map(Step::from).collect();
        if words.take("!") {
            let [step] = &mut steps[..] else {
                return Err("'! crash' follows a single step".into());
            };
            step.cut = Some(cut(words)?);
        }
        Ok(steps.into_iter().map(Entry::Step).collect())
    }

    fn actions(&self, verb: &str, words: &mut Words) -> Result<Vec<Action>, String> {
        let action = match verb {
            "deliver" | "dup" => {
                let (keep, lie) = (verb == "dup", words.take("contrary"));
                let deliver = |message| Action::Deliver { message, keep, lie };
                return Ok(self.messages(words)?.into_iter().map(deliver).collect());
            }
            "drop" => return Ok(self.messages(words)?.into_iter().map(Action::Drop).collect()),
            "timeout" => {
                let node = self.node(words)?;
                Action::Timeout { node, timer: words.word("the name of a timer")? }
            }
            "propose" => {
                let node = self.node(words)?;
                let mut commands = vec![proposal(words)?];
                while words.take(",") {
                    commands.push(proposal(words)?);
                }
                Action::Propose { node, commands }
            }
            "sync" => {
                let node = self.node(words)?;
                let but = if words.take("but") { words.number("a number of records")? } else { 0 };
                Action::Sync { node, but }
            }
            "crash" => Action::Crash { node: self.node(words)?, keep: keep(words)? },
            "restart" => Action::Restart(self.node(words)?),
            "campaign" => Action::Campaign(self.node(words)?),
            _ => return Err(format!("expected one of {HEADERS}, {STEPS}; found '{verb}'")),
        };
        Ok(vec![action])
    }

    /// `KIND n0 n1 -> n2 n3`, with `#2` where one message is named.
    fn messages(&self, words: &mut Words) -> Result<Vec<Name>, String> {
        let kind = words.word("a kind of message")?;
        let from = words.nodes()?;
        if !words.take("->") {
            return Err(words.expected("-> or one more node"));
        }
        let to = words.nodes()?;
        let pick = pick(words)?;
        let single = from.len() == 1 && to.len() == 1;
        if pick.is_some() && !single {
            return Err("'#' picks one message on one link".into());
        }
        let mut names = Vec::new();
        for sender in &from {
            for receiver in &to {
                let (from, to) = (self.known(*sender)?, self.known(*receiver)?);
                if from == to && single {
                    return Err(format!("{from} sends nothing to itself"));
                }
                if from != to {
                    let pick = pick.unwrap_or(Pick::Nth(1));
                    names.push(Name { kind: kind.clone(), from, to, pick });
                }
            }
        }
        Ok(names)
    }

    fn expectation(&self, words: &mut Words) -> Result<Expectation, String> {
        let what = "safe, violation, leader, down, committed or epoch";
        let word = words.word(what)?;
        match &*word {
            "safe" => Ok(Expectation::Safe),
            "violation" => Ok(Expectation::Violation(words.word("an oracle such as O1")?)),
            "leader" => Ok(Expectation::Leader(self.node(words)?)),
            "down" => Ok(Expectation::Down(self.node(words)?)),
            "committed" | "epoch" => {
                let node = self.node(words)?;
                let compare = Compare::ALL.into_iter().find(|compare| words.take(compare.word()));
                let compare = compare.ok_or_else(|| words.expected("==, !=, <= or >="))?;
                let number = words.number("a number")?;
                let committed = word == "committed";
                let make = if committed { Expectation::Committed } else { Expectation::Epoch };
                Ok(make(node, compare, number))
            }
            _ => Err(format!("expected {what}, found '{word}'")),
        }
    }
}

fn pick(words: &mut Words) -> Result<Option<Pick>, String> {
    if !words.picks() {
        return Ok(None);
    }
    let word = words.word("#1, #2 …")?;
    let digits = word.strip_prefix('#').unwrap_or_default();
    let pick = match digits.strip_prefix('x') {
        Some(print) => u64::from_str_radix(print, 16).ok().map(Pick::Print),
        None => digits.parse().ok().filter(|nth| *nth > 0).map(Pick::Nth),
    };
    pick.map(Some).ok_or_else(|| format!("expected #1, #2 …, found '{word}'"))
}

fn keep(words: &mut Words) -> Result<u32, String> {
    if words.take("keep") { words.number("a number of records") } else { Ok(0) }
}

fn cut(words: &mut Words) -> Result<Cut, String> {
    if !words.take("crash") || !words.take("after") {
        return Err(words.expected("crash after COUNT, as '! crash after 3 keep 1'"));
    }
    Ok(Cut { after: words.number("a number of effects")?, keep: keep(words)? })
}

/// `"text"`, or `c1/s2.0/r3 put 1 5`.
fn proposal(words: &mut Words) -> Result<Proposal, String> {
    let what = "a text in quotes, or a command as c1/s2.0/r3 put 1 5";
    if let Ok(text) = words.text(what) {
        return Ok(Proposal::Text(text));
    }
    let name = words.word(what)?;
    let parts: Vec<&str> = name.split('/').collect();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let found = match parts[..] {
        [client, session, request] => {
            let session = session.strip_prefix('s').and_then(|session| session.split_once('.'));
            let session = session.and_then(|(index, offset)| {
                let index = number(Some(index)).filter(|index| *index < 1 << 48)?;
                let offset = number(Some(offset)).filter(|offset| *offset < 1 << 16)?;
                Some((index << 16) | offset)
            });
            let (client, request) = (client.strip_prefix('c'), request.strip_prefix('r'));
            number(client).zip(session).zip(number(request))
        }
        _ => None,
    };
    let Some(((client, session), request)) = found else {
        return Err(format!("expected {what}, found '{name}'"));
    };
    let payload = payload(words)?;
    let (client, session) = (ClientId(client), SessionId(session));
    Ok(Proposal::Request { client, session, request: RequestId(request), payload })
}

fn payload(words: &mut Words) -> Result<Bytes, String> {
    let what = "get, put, cas, append or bytes";
    let verb = words.word(what)?;
    if verb == "bytes" {
        return hex(&words.word("bytes in hexadecimal, or -")?);
    }
    if !["get", "put", "cas", "append"].contains(&&*verb) {
        return Err(format!("expected {what}, found '{verb}'"));
    }
    let key = words.number("a register from 0 to 255")?;
    let operation = match &*verb {
        "get" => Operation::Get(key),
        "put" => Operation::Put(key, words.number("a number")?),
        "append" => Operation::Append(key, words.number("a number")?),
        _ => Operation::Cas(key, words.number("a number")?, words.number("a number")?),
    };
    Ok(operation.encode())
}

fn hex(text: &str) -> Result<Bytes, String> {
    let wrong = || format!("expected bytes in hexadecimal, or -, found '{text}'");
    if text == "-" {
        return Ok(Bytes::new());
    }
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or_else(wrong)?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
