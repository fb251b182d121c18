//! Reading the lines that come before all steps: what the stage is like.

use super::super::words::Words;
use super::super::{Memory, Names, Net, Weather};
use super::{Reader, conditions};
use crate::stage::Clocks;
use consensus_core::{NodeId, NodeSet, Sizes};
use core::time::Duration;
use std::rc::Rc;

impl Reader {
    /// Reads a header line. False if it is none.
    pub(super) fn header(&mut self, verb: &str, words: &mut Words) -> Result<bool, String> {
        match verb {
            "scenario" => self.scenario.title = words.text("a title in quotes")?,
            "shows" | "catches" | "unlike" => {
                let mut names = vec![words.word("a name")?];
                while !words.is_empty() {
                    names.push(words.word("a name")?);
                }
                let known = match verb {
                    "shows" => &mut self.scenario.shows,
                    "catches" => &mut self.scenario.catches,
                    _ => &mut self.scenario.unlike,
                };
                known.extend(names);
            }
            "algo" => self.algorithm(words)?,
            "nodes" => self.nodes(words)?,
            "net" => self.scenario.net = net(words)?,
            "rtt" => {
                let far = (self.groups(words)?, words.time()?);
                match &mut self.scenario.net {
                    Net::Timed(weather) => weather.far.push(far),
                    Net::Manual => return Err("'rtt' comes after 'net delay 1ms'".into()),
                }
            }
            "seed" => self.scenario.seed = words.number("a number")?,
            "traitors" => self.scenario.traitors = self.node_set(words)?,
            "voters" => self.scenario.voters = self.node_set(words)?,
            "chunk" => self.scenario.chunk = words.number("a number of bytes")?,
            "clocks" => self.scenario.clocks = Some(self.clocks(words)?),
            "lease" => {
                let drift: u32 = words.number("parts in a million by which clocks may be wrong")?;
                if drift >= 1_000_000 {
                    return Err("clocks are wrong by less than a million parts in a million".into());
                }
                self.scenario.lease = Some(drift);
            }
            "sessions" => {
                let sessions: usize = words.number("a number of client sessions")?;
                if sessions == 0 {
                    return Err("a service keeps one session at least".into());
                }
                self.scenario.sessions = Some(sessions);
            }
            "drivers" => {
                if !words.take("in-place") {
                    return Err(words.expected("in-place"));
                }
                self.scenario.in_place = true;
            }
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
            "setup" => {
                let node = self.node(words)?;
                let what = words.word("what it remembers, as log, term or promised")?;
                let values = conditions::items(words)?;
                self.scenario.memories.push(Memory { node, what, values });
            }
            _ => return Ok(false),
        }
        let early = self.scenario.entries.is_empty() && self.open.is_empty();
        if early { Ok(true) } else { Err(format!("'{verb}' comes before all steps")) }
    }

    /// `algo raft|multipaxos sizes=smallest repair=decrement`.
    fn algorithm(&mut self, words: &mut Words) -> Result<(), String> {
        let names = words.word("the name of an algorithm")?;
        let mut names = names.split('|').map(str::to_owned);
        self.scenario.algo = names.next().unwrap_or_default();
        self.scenario.others = names.collect();
        if self.scenario.algorithms().any(String::is_empty) {
            return Err("expected names of algorithms with | between, as raft|paxos".into());
        }
        (self.scenario.sizes, self.scenario.variants) = (Sizes::USUAL, Vec::new());
        self.scenario.trailing = None;
        while !words.is_empty() {
            let setting = words.word("OPTION=VALUE")?;
            if let Some(sizes) = setting.strip_prefix("sizes=") {
                self.scenario.sizes = some_sizes(sizes)?;
            } else if let Some(entries) = setting.strip_prefix("trailing=") {
                let number = entries.parse().map_err(|_| format!("'{setting}': expected a number"));
                self.scenario.trailing = Some(number?);
            } else if setting.contains('=') {
                self.scenario.variants.push(setting);
            } else {
                return Err(format!("expected OPTION=VALUE, found '{setting}'"));
            }
        }
        Ok(())
    }

    /// `nodes 3`, `nodes 3 5 7`, or `nodes A1=P1 A2 A3`.
    fn nodes(&mut self, words: &mut Words) -> Result<(), String> {
        if self.scenario.nodes != 0 {
            return Err("the number of nodes was said before".into());
        }
        let numbers = words.peek().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit()));
        let good = |nodes: usize| match (1..=NodeId::LIMIT).contains(&nodes) {
            true => Ok(nodes),
            false => Err(format!("a cluster has 1 to {} nodes", NodeId::LIMIT)),
        };
        if numbers || words.is_empty() {
            self.scenario.nodes = good(words.number("a number of nodes, or their names")?)?;
            while !words.is_empty() {
                let size = good(words.number("a number of nodes")?)?;
                if size <= self.scenario.nodes {
                    return Err("the smallest number of nodes comes first".into());
                }
                self.scenario.other_sizes.push(size);
            }
            return Ok(());
        }
        let mut names = Names::numbered();
        while !words.is_empty() {
            names.add(&words.word("the name of a node")?)?;
        }
        self.scenario.nodes = good(names.len())?;
        self.names = Rc::new(names.clone());
        self.scenario.names = names;
        Ok(())
    }

    /// `clocks`, or `clocks A 9900 B 10100` where they are wrong.
    fn clocks(&self, words: &mut Words) -> Result<Clocks, String> {
        self.some_nodes()?;
        let mut clocks = Clocks::right(self.scenario.nodes);
        while !words.is_empty() {
            let node = self.node(words)?;
            let rate = words.number("how fast its clock runs, in ten thousand")?;
            if !(1_000..=100_000).contains(&rate) {
                return Err("a clock runs at 1000 to 100000 in ten thousand".into());
            }
            clocks.rates[node.index()] = rate;
        }
        Ok(clocks)
    }

    pub(super) fn node_set(&self, words: &mut Words) -> Result<NodeSet, String> {
        words.nodes()?.into_iter().map(|node| self.known(node)).collect()
    }
}

/// `smallest`, or bits as `0x15`.
fn some_sizes(text: &str) -> Result<Sizes, String> {
    let bits = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match (text, bits) {
        ("smallest", _) => Ok(Sizes::SMALLEST),
        (_, Some(bits)) => Ok(Sizes::of_bits(bits)),
        _ => Err(format!("'sizes={text}': expected smallest, or bits as 0x15")),
    }
}

/// `manual`, or `delay 1ms jitter 1ms loss 1% dup 1%`.
fn net(words: &mut Words) -> Result<Net, String> {
    if words.take("manual") {
        return Ok(Net::Manual);
    }
    if !words.take("delay") {
        return Err(words.expected("manual, or delay 1ms"));
    }
    let delay = words.time()?;
    let (jitter, far) = (Duration::ZERO, Vec::new());
    let mut weather = Weather { delay, jitter, loss: 0, duplication: 0, far };
    while !words.is_empty() {
        match &*words.word("jitter, loss or dup")? {
            "jitter" => weather.jitter = words.time()?,
            "loss" => weather.loss = words.share()?,
            "dup" => weather.duplication = words.share()?,
            other => return Err(format!("expected jitter, loss or dup, found '{other}'")),
        }
    }
    Ok(Net::Timed(weather))
}
