//! Scenarios as text: one line a step. The words agree with the grammar of larger scenario files,
//! of which this is the part where nothing happens by itself.

mod acts;

use acts::Groups;
pub(super) use acts::{All, Time};

use super::step::{Action, Cut, Name, Pick, Proposal, Step};
use super::{Compare, Entry, Line, Net, Scenario};
use crate::registers::Operation;
use crate::rng::CERTAIN;
use crate::stage::kebab;
use bytes::Bytes;
use consensus_core::{Change, NodeId, NodeSet, Sizes};
use std::fmt::{self, Display, Formatter};

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(f, "{}", format!("# {comment}").trim_end())?;
        }
        writeln!(f, "scenario {}", Quoted(&self.title))?;
        for (word, names) in [("shows", &self.shows), ("catches", &self.catches)] {
            if !names.is_empty() {
                writeln!(f, "{word} {}", names.join(" "))?;
            }
        }
        write!(f, "algo {}", self.algo)?;
        self.others.iter().try_for_each(|other| write!(f, "|{other}"))?;
        match self.sizes {
            Sizes::USUAL => {}
            Sizes::SMALLEST => write!(f, " sizes=smallest")?,
            some => write!(f, " sizes={:#x}", some.bits())?,
        }
        self.trailing.iter().try_for_each(|entries| write!(f, " trailing={entries}"))?;
        self.variants.iter().try_for_each(|variant| write!(f, " {variant}"))?;
        if !self.unlike.is_empty() {
            write!(f, "\nunlike {}", self.unlike.join(" "))?;
        }
        if self.names.are_numbers() {
            write!(f, "\nnodes {}", self.nodes)?;
            self.other_sizes.iter().try_for_each(|size| write!(f, " {size}"))?;
        } else {
            write!(f, "\nnodes")?;
            self.names.all().try_for_each(|name| write!(f, " {name}"))?;
        }
        writeln!(f)?;
        if let Net::Timed(weather) = &self.net {
            writeln!(f, "net {weather}")?;
            for (groups, time) in &weather.far {
                let line = format!("rtt{} {}", Groups(groups), Time(*time));
                writeln!(f, "{}", self.names.rename(&line))?;
            }
        }
        if self.seed != 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        if !self.traitors.is_empty() {
            writeln!(f, "{}", self.names.rename(&format!("traitors{}", Nodes(self.traitors))))?;
        }
        if !self.voters.is_empty() {
            writeln!(f, "voters{}", Nodes(self.voters))?;
        }
        if self.chunk != 0 {
            writeln!(f, "chunk {}", self.chunk)?;
        }
        if let Some(clocks) = &self.clocks {
            write!(f, "clocks")?;
            for (node, rate) in clocks.rates.iter().enumerate().filter(|it| *it.1 != CERTAIN) {
                write!(f, " {} {rate}", self.names.of(NodeId(node as u8)))?;
            }
            writeln!(f)?;
        }
        if let Some(drift) = self.lease {
            writeln!(f, "lease {drift}")?;
        }
        if let Some(sessions) = self.sessions {
            writeln!(f, "sessions {sessions}")?;
        }
        if self.in_place {
            writeln!(f, "drivers in-place")?;
        }
        if self.instant == NodeSet::first(self.nodes) {
            writeln!(f, "disks instant")?;
        } else if !self.instant.is_empty() {
            let line = format!("disks instant{}", Nodes(self.instant));
            writeln!(f, "{}", self.names.rename(&line))?;
        }
        if let Some(mutant) = &self.mutant {
            writeln!(f, "mutant {mutant}")?;
        }
        for memory in &self.memories {
            writeln!(f, "{}", self.names.rename(&memory.to_string()))?;
        }
        writeln!(f)?;
        self.lines(&self.entries, "", f)
    }
}

impl Scenario {
    fn lines(&self, lines: &[Line], indent: &str, f: &mut Formatter<'_>) -> fmt::Result {
        for Line { entry, .. } in lines {
            let (head, inner) = match entry {
                Entry::Repeat(times, inner) => (format!("repeat {times}"), Some(inner)),
                Entry::Branch(title, inner) => (format!("branch {}", Quoted(title)), Some(inner)),
                other => (self.names.rename(&other.to_string()), None),
            };
            writeln!(f, "{indent}{head}")?;
            if let Some(inner) = inner {
                self.lines(inner, &format!("{indent}  "), f)?;
                writeln!(f, "{indent}end")?;
            }
        }
        Ok(())
    }
}

struct Nodes(NodeSet);

impl Display for Nodes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|node| write!(f, " {node}"))
    }
}

pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars() {
            match letter {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                letter => write!(f, "{letter}")?,
            }
        }
        f.write_str("\"")
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => step.fmt(f),
            Self::Simulate(reductions) => {
                f.write_str("simulate")?;
                reductions.iter().try_for_each(|reduction| write!(f, " {reduction}"))
            }
            Self::Expect(expectation) => write!(f, "expect {expectation}"),
            Self::Act(act) => act.fmt(f),
            Self::Repeat(times, lines) => write!(f, "repeat {times}: {} lines", lines.len()),
            Self::Branch(title, _) => write!(f, "branch {}", Quoted(title)),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.at.map_or(Ok(()), |moment| write!(f, "at {} ", Time(moment)))?;
        self.action.fmt(f)?;
        match self.cut {
            None => Ok(()),
            Some(Cut { after, keep: 0 }) => write!(f, " ! crash after {after}"),
            Some(Cut { after, keep }) => write!(f, " ! crash after {after} keep {keep}"),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver { message, keep, lie } => {
                let verb = if *keep { "dup" } else { "deliver" };
                write!(f, "{verb}{} {message}", if *lie { " contrary" } else { "" })
            }
            Self::Drop(message) => write!(f, "drop {message}"),
            Self::Timeout { node, timer } => write!(f, "timeout {node} {timer}"),
            Self::Propose { node, commands } => {
                write!(f, "propose {node}")?;
                for (nth, command) in commands.iter().enumerate() {
                    write!(f, "{} {command}", if nth > 0 { "," } else { "" })?;
                }
                Ok(())
            }
            Self::Sync { node, but: 0 } => write!(f, "sync {node}"),
            Self::Sync { node, but } => write!(f, "sync {node} but {but}"),
            Self::Crash { node, keep: 0 } => write!(f, "crash {node}"),
            Self::Crash { node, keep } => write!(f, "crash {node} keep {keep}"),
            Self::Restart(node) => write!(f, "restart {node}"),
            Self::Campaign(node) => write!(f, "campaign {node}"),
            Self::Transfer { node, to } => write!(f, "transfer {node} to {to}"),
            Self::Change { node, change } => write!(f, "change {node} {}", Wanted(change)),
            Self::Read { node, mode } => write!(f, "read {node} {}", kebab(mode)),
            Self::Snapshot(node) => write!(f, "snapshot {node}"),
            Self::Save { node, received: false } => write!(f, "save {node}"),
            Self::Save { node, received: true } => write!(f, "save {node} received"),
        }
    }
}

/// What members are to be. Contacts are for real networks.
struct Wanted<'a>(&'a Change);

impl Display for Wanted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Change { expected, voters, learners, .. } = self.0;
        write!(f, "version {expected} voters{}", Nodes(*voters))?;
        if !learners.is_empty() {
            write!(f, " learners{}", Nodes(*learners))?;
        }
        Ok(())
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, from, to, pick } = self;
        write!(f, "{kind} {from} -> {to}")?;
        match pick {
            Pick::Nth(1) => Ok(()),
            Pick::Nth(nth) => write!(f, " #{nth}"),
            Pick::Print(print) => write!(f, " #x{print:016x}"),
        }
    }
}

impl Display for Proposal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Request { client, session, request, payload } => {
                let (index, offset) = (session.0 >> 16, session.0 & 0xffff);
                write!(f, "c{}/s{index}.{offset}/r{} ", client.0, request.0)?;
                Payload(payload).fmt(f)
            }
        }
    }
}

/// What a command is to do, for people.
pub(crate) fn payload_text(payload: &Bytes) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) if !text.is_empty() && text.chars().all(|letter| !letter.is_control()) => {
            Quoted(text).to_string()
        }
        _ => Payload(payload).to_string(),
    }
}

struct Payload<'a>(&'a Bytes);

impl Display for Payload<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match Operation::decode(self.0).filter(|operation| operation.encode() == self.0) {
            Some(Operation::Get(key)) => write!(f, "get {key}"),
            Some(Operation::Put(key, value)) => write!(f, "put {key} {value}"),
            Some(Operation::Cas(key, old, new)) => write!(f, "cas {key} {old} {new}"),
            Some(Operation::Append(key, value)) => write!(f, "append {key} {value}"),
            None => {
                f.write_str("bytes ")?;
                if self.0.is_empty() {
                    return f.write_str("-");
                }
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl Display for Compare {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
