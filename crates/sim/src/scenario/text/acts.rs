//! Writing what is more than a step, and what is expected.

use super::super::Expectation;
use super::super::act::{Act, Load, Memory, Weather};
use super::super::condition::{Condition, Number, Pattern, Span};
use super::super::item::listed;
use super::{Nodes, Quoted};
use consensus_core::NodeSet;
use core::time::Duration;
use std::fmt::{self, Display, Formatter};

/// `150ms`.
pub(crate) struct Time(pub(crate) Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (micros, nanos) = (self.0.as_micros(), self.0.as_nanos());
        match (micros % 1_000_000, micros % 1_000, nanos % 1_000) {
            (0, _, 0) => write!(f, "{}s", micros / 1_000_000),
            (_, 0, 0) => write!(f, "{}ms", micros / 1_000),
            (_, _, 0) => write!(f, "{micros}us"),
            _ => write!(f, "{nanos}ns"),
        }
    }
}

/// Ten thousandths.
struct Share(u32);

impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

impl Display for Weather {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { delay, jitter, loss, duplication, far: _ } = self;
        write!(f, "delay {}", Time(*delay))?;
        if !jitter.is_zero() {
            write!(f, " jitter {}", Time(*jitter))?;
        }
        for (word, share) in [("loss", *loss), ("dup", *duplication)] {
            if share > 0 {
                write!(f, " {word} {}", Share(share))?;
            }
        }
        Ok(())
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "setup {} {} {}", self.node, self.what, listed(&self.values))
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_deref().unwrap_or("all"))?;
        match self.links {
            None => Ok(()),
            Some((from, to)) => write!(f, "{} ->{}", Nodes(from), Nodes(to)),
        }
    }
}

impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { from, to, up } => {
                let state = if *up { "up" } else { "down" };
                write!(f, "link{} ->{} {state}", Nodes(*from), Nodes(*to))
            }
            Self::Isolate(node) => write!(f, "isolate {node}"),
            Self::Partition(groups) => write!(f, "partition{}", Groups(groups)),
            Self::Heal => f.write_str("heal"),
            Self::Hold(pattern) => write!(f, "hold {pattern}"),
            Self::Release => f.write_str("release"),
            Self::Lose(pattern) => write!(f, "drop all {pattern}"),
            Self::Run => f.write_str("run"),
            Self::RunUntil(conditions, within) => {
                write!(f, "run until {}", All(conditions))?;
                within.map_or(Ok(()), |within| write!(f, " within {}", Time(within)))
            }
            Self::RunFor(time) => write!(f, "run {}", Time(*time)),
            Self::At(time) => write!(f, "at {}", Time(*time)),
            Self::ExploreOrders => f.write_str("explore all orders"),
            Self::Recount => f.write_str("recount"),
            Self::Say(text) => write!(f, "say {}", Quoted(text)),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::Resume(node) => write!(f, "resume {node}"),
            Self::Slow(node, time) => write!(f, "slow {node} {}", Time(*time)),
            Self::Stabilize => f.write_str("stabilize"),
            Self::Load(load) => load.fmt(f),
            Self::Unload => f.write_str("unload"),
        }
    }
}

/// Groups of nodes with a bar between.
pub(super) struct Groups<'a>(pub(super) &'a [NodeSet]);

impl Display for Groups<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.0.iter().map(|group| Nodes(*group).to_string()).collect();
        f.write_str(&groups.join(" |"))
    }
}

impl Display for Load {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "load {} clients", self.clients)?;
        if let Some(every) = self.every {
            write!(f, " every {}", Time(every))?;
        }
        self.commands.map_or(Ok(()), |commands| write!(f, " commands {commands}"))
    }
}

/// Conditions with `and` between.
pub(crate) struct All<'a>(pub(crate) &'a [Condition]);

impl Display for All<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(" and "))
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Not(condition) => write!(f, "not {condition}"),
            Self::Leader(node) => write!(f, "leader {node}"),
            Self::NoLeader => f.write_str("no leader"),
            Self::Down(node) => write!(f, "down {node}"),
            Self::Number(number, compare, formula) => write!(f, "{number} {compare} {formula}"),
            Self::Holds { what, node, which, compare, values } => {
                write!(f, "{what} {node}")?;
                which.iter().try_for_each(|item| write!(f, " {item}"))?;
                write!(f, " {compare} {}", listed(values))
            }
            Self::Chosen(compare, values) => write!(f, "chosen {compare} {}", listed(values)),
            Self::Time(span, compare, time) => {
                let word = match span {
                    Span::Gap => "gap",
                    Span::Slowest => "slowest",
                    Span::Median => "median",
                };
                write!(f, "{word} {compare} {}", Time(*time))
            }
            Self::Linearizable => f.write_str("linearizable"),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed(node) => write!(f, "committed {node}"),
            Self::Epoch(node) => write!(f, "epoch {node}"),
            Self::Count(pattern) => write!(f, "count {pattern}"),
            Self::OnWay(pattern) => write!(f, "on-way {pattern}"),
            Self::Answered => f.write_str("answered"),
            Self::Unknown => f.write_str("unknown"),
            Self::Elections => f.write_str("elections"),
        }
    }
}

impl Display for Expectation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe => f.write_str("safe"),
            Self::Violation(oracle) => write!(f, "violation {oracle}"),
            Self::Now(conditions) => All(conditions).fmt(f),
            Self::Never(conditions) => write!(f, "never {}", All(conditions)),
            Self::Trace(pattern, lines) => {
                write!(f, "trace {pattern} ==")?;
                lines.iter().try_for_each(|line| write!(f, " {}", Quoted(line)))
            }
            Self::Outcomes(outcomes) => write!(f, "outcomes == {}", listed(outcomes)),
        }
    }
}
