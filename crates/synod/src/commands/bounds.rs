//! The flags of `synod explore` that say how much of everything may happen, and bounds as text.

use consensus_core::{ProtocolInfo, ReadMode};
use serde_json::{Value, json};
use synod_explore::{Bounds, Disks, Preset, Wish, Wishes};

/// Bounds on the command line: a preset, and what is different from it.
#[derive(Debug, clap::Args)]
pub(crate) struct BoundFlags {
    /// The bounds to start from: small, disks, closed, deep, traitor, members, snapshots, reads,
    /// leases, views; the flags below change them
    #[arg(long, value_name = "NAME", default_value = "small",
          value_parser = |text: &str| text.parse::<Preset>())]
    pub(crate) preset: Preset,
    /// Replicas that vote in the beginning
    #[arg(long, value_name = "COUNT", value_parser = super::count)]
    nodes: Option<usize>,
    /// Replicas beside them that may join
    #[arg(long, value_name = "COUNT")]
    joiners: Option<usize>,
    /// A node leads in the beginning and nothing is under way: true or false
    #[arg(long, value_name = "BOOL")]
    led: Option<bool>,
    /// Commands of clients
    #[arg(long, value_name = "COUNT")]
    commands: Option<u8>,
    /// Timers that fire
    #[arg(long, value_name = "COUNT")]
    timeouts: Option<u8>,
    /// Times that an operator asks a node to lead, which starts an election at once
    #[arg(long, value_name = "COUNT")]
    campaigns: Option<u8>,
    /// Crashes; what was not synced is lost, but for any prefix
    #[arg(long, value_name = "COUNT")]
    crashes: Option<u8>,
    /// Messages that are delivered once more than they were sent, or 'any' for any number
    #[arg(long, value_name = "COUNT", value_parser = parse_duplicates)]
    duplicates: Option<Duplicates>,
    /// Times that an operator asks a node to hand over to another
    #[arg(long, value_name = "COUNT")]
    transfers: Option<u8>,
    /// Times that an operator asks for other members
    #[arg(long, value_name = "COUNT")]
    changes: Option<u8>,
    /// What he may ask for, as a list: leave, remove, learn, vote, replace, resign
    #[arg(long, value_name = "LIST", value_parser = parse_wishes)]
    wishes: Option<Wishes>,
    /// Reads that need no entry of the log
    #[arg(long, value_name = "COUNT")]
    reads: Option<u8>,
    /// How they are made safe: index, lease, quorum
    #[arg(long, value_name = "HOW", value_parser = parse_mode)]
    mode: Option<ReadMode>,
    /// Snapshots that are taken
    #[arg(long, value_name = "COUNT")]
    snapshots: Option<u8>,
    /// Bytes of a snapshot in one message; every snapshot has 16
    #[arg(long, value_name = "BYTES", value_parser = super::count)]
    chunk: Option<usize>,
    /// How disks are modelled: explicit (a sync is a step of its own) or instant
    #[arg(long, value_name = "HOW", value_parser = parse_disks)]
    disks: Option<Disks>,
    /// Times that the clock moves on, by the longest election timeout; or 'none': there is no time,
    /// timers fire at any moment, and leases are off
    #[arg(long, value_name = "COUNT", value_parser = parse_ticks)]
    ticks: Option<Ticks>,
    /// Messages arrive in rounds, and so often it changes who hears whom; or 'none': each message
    /// arrives on its own, in any order
    #[arg(long, value_name = "COUNT", value_parser = parse_storms)]
    storms: Option<Storms>,
    /// The longest behaviour, in steps
    #[arg(long, value_name = "STEPS")]
    depth: Option<u32>,
    /// States that differ in the names of nodes only are one, where nodes are alike (Raft): true or
    /// false [default: true]
    #[arg(long, value_name = "BOOL")]
    symmetry: Option<bool>,
}

/// The bound on repeated deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Duplicates(Option<u8>);

fn parse_duplicates(text: &str) -> Result<Duplicates, String> {
    if text == "any" {
        return Ok(Duplicates(None));
    }
    text.parse().map(|count| Duplicates(Some(count))).map_err(|_| "not a number, nor 'any'".into())
}

/// The bound on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks(Option<u8>);

fn parse_ticks(text: &str) -> Result<Ticks, String> {
    if text == "none" {
        return Ok(Ticks(None));
    }
    text.parse().map(|count| Ticks(Some(count))).map_err(|_| "not a number, nor 'none'".into())
}

/// The bound on changes of who hears whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Storms(Option<u8>);

fn parse_storms(text: &str) -> Result<Storms, String> {
    if text == "none" {
        return Ok(Storms(None));
    }
    text.parse().map(|count| Storms(Some(count))).map_err(|_| "not a number, nor 'none'".into())
}

fn parse_disks(text: &str) -> Result<Disks, String> {
    match text {
        "explicit" => Ok(Disks::Explicit),
        "instant" => Ok(Disks::Instant),
        _ => Err("choose from explicit, instant".into()),
    }
}

fn parse_mode(text: &str) -> Result<ReadMode, String> {
    match text {
        "index" => Ok(ReadMode::Index),
        "lease" => Ok(ReadMode::Lease),
        "quorum" => Ok(ReadMode::Quorum),
        _ => Err("choose from index, lease, quorum".into()),
    }
}

fn parse_wishes(text: &str) -> Result<Wishes, String> {
    let wishes: Result<Vec<Wish>, String> = text.split(',').map(str::parse).collect();
    wishes.map(|wishes| Wishes::of(&wishes))
}

impl BoundFlags {
    /// The preset's bounds, as far as no flag says otherwise; `None` if the preset makes no sense
    /// for such an algorithm.
    pub(crate) fn bounds(&self, info: &ProtocolInfo) -> Option<Bounds> {
        let preset = self.preset.bounds(info)?;
        Some(Bounds {
            nodes: self.nodes.unwrap_or(preset.nodes),
            joiners: self.joiners.unwrap_or(preset.joiners),
            led: self.led.unwrap_or(preset.led),
            commands: self.commands.unwrap_or(preset.commands),
            timeouts: self.timeouts.unwrap_or(preset.timeouts),
            campaigns: self.campaigns.unwrap_or(preset.campaigns),
            crashes: self.crashes.unwrap_or(preset.crashes),
            duplicates: self.duplicates.map_or(preset.duplicates, |given| given.0),
            transfers: self.transfers.unwrap_or(preset.transfers),
            changes: self.changes.unwrap_or(preset.changes),
            wishes: self.wishes.unwrap_or(preset.wishes),
            reads: self.reads.unwrap_or(preset.reads),
            mode: self.mode.unwrap_or(preset.mode),
            snapshots: self.snapshots.unwrap_or(preset.snapshots),
            chunk: self.chunk.unwrap_or(preset.chunk),
            disks: self.disks.unwrap_or(preset.disks),
            ticks: self.ticks.map_or(preset.ticks, |given| given.0),
            storms: self.storms.map_or(preset.storms, |given| given.0),
            timer: preset.timer,
            traitors: preset.traitors,
            depth: self.depth.or(preset.depth),
            symmetry: self.symmetry.unwrap_or(preset.symmetry),
        })
    }
}

fn mode_name(mode: ReadMode) -> &'static str {
    match mode {
        ReadMode::Index => "index",
        ReadMode::Lease => "lease",
        ReadMode::Quorum => "quorum",
    }
}

fn wish_names(wishes: Wishes) -> Vec<&'static str> {
    wishes.iter().map(Wish::name).collect()
}

/// Bounds as a line.
pub(crate) fn shown(bounds: &Bounds) -> String {
    let Bounds { nodes, commands, timeouts, campaigns, crashes, .. } = *bounds;
    let mut text = format!(
        "{nodes} replicas, {commands} commands, {timeouts} timeouts, {campaigns} campaigns, \
         {crashes} crashes"
    );
    for (count, what) in [
        (bounds.joiners as u64, "joiners"),
        (u64::from(bounds.transfers), "transfers"),
        (u64::from(bounds.snapshots), "snapshots"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if bounds.changes > 0 {
        let wishes = wish_names(bounds.wishes).join(" ");
        text.push_str(&format!(", {} changes ({wishes})", bounds.changes));
    }
    if bounds.reads > 0 {
        text.push_str(&format!(", {} reads ({})", bounds.reads, mode_name(bounds.mode)));
    }
    if bounds.led {
        text.push_str(", led at first");
    }
    match bounds.duplicates {
        _ if bounds.storms.is_some() => {}
        None => text.push_str(", any duplicates"),
        Some(count) => text.push_str(&format!(", {count} duplicates")),
    }
    text.push_str(if bounds.disks == Disks::Instant { ", instant disks" } else { ", syncs" });
    if let Some(ticks) = bounds.ticks {
        text.push_str(&format!(", a clock that moves {ticks} times"));
    }
    if let Some(storms) = bounds.storms {
        text.push_str(&format!(", rounds, {storms} storms"));
    }
    if let Some(timer) = bounds.timer {
        text.push_str(&format!(", of the timers only {timer}"));
    }
    if !bounds.traitors.is_empty() {
        text.push_str(&format!(", traitors {:?}", bounds.traitors));
    }
    if let Some(depth) = bounds.depth {
        text.push_str(&format!(", depth {depth}"));
    }
    text
}

/// Bounds as JSON.
pub(crate) fn json(bounds: &Bounds) -> Value {
    json!({
        "nodes": bounds.nodes,
        "joiners": bounds.joiners,
        "led": bounds.led,
        "commands": bounds.commands,
        "timeouts": bounds.timeouts,
        "campaigns": bounds.campaigns,
        "crashes": bounds.crashes,
        "duplicates": bounds.duplicates,
        "transfers": bounds.transfers,
        "changes": bounds.changes,
        "wishes": wish_names(bounds.wishes),
        "reads": bounds.reads,
        "read_mode": mode_name(bounds.mode),
        "snapshots": bounds.snapshots,
        "chunk": bounds.chunk,
        "disks": if bounds.disks == Disks::Instant { "instant" } else { "explicit" },
        "ticks": bounds.ticks,
        "storms": bounds.storms,
        "timer": bounds.timer,
        "traitors": bounds.traitors.len(),
        "depth": bounds.depth,
        "symmetry": bounds.symmetry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_or_refused() {
        assert_eq!(parse_duplicates("any"), Ok(Duplicates(None)));
        assert_eq!(parse_duplicates("3"), Ok(Duplicates(Some(3))));
        assert!(parse_duplicates("many").is_err() && parse_disks("slow").is_err());
        assert_eq!(parse_wishes("vote,leave"), Ok(Wishes::of(&[Wish::Leave, Wish::Vote])));
        assert!(parse_wishes("vote,stay").unwrap_err().contains("replace"));
        assert_eq!((parse_ticks("none"), parse_ticks("2")), (Ok(Ticks(None)), Ok(Ticks(Some(2)))));
        assert_eq!(parse_storms("3"), Ok(Storms(Some(3))));
        assert!(parse_storms("rain").is_err());
        assert!(parse_mode("clock").unwrap_err().contains("lease"));
    }
}
