//! Carrying out the steps of a scenario.

use super::Stage;
use crate::scenario::{Action, Name, Proposal, Step, command_of};
use consensus_core::{Audit, Batch, Command, Fingerprint, Input, NodeId, Tag};
use std::fmt;
use std::sync::Arc;

/// A step that cannot be: there is no such message, timer, node, or nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible(pub String);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

/// What was really carried in a step, where something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The flight that arrived.
    pub(crate) serial: u64,
    /// The fingerprint of what arrived.
    pub(crate) print: u64,
    /// Was it the contrary of what the flight says?
    pub(crate) lie: bool,
}

impl<P: Audit> Stage<P> {
    /// Carries out one step of a scenario. A violation that it leads to is no error:
    /// [`violation`](Self::violation) tells.
    ///
    /// # Errors
    /// If the step cannot be. Then nothing has happened.
    pub fn perform(&mut self, step: &Step) -> Result<(), Impossible> {
        self.carry(step).map(|_| ())
    }

    /// The same, and says what was carried.
    pub(crate) fn carry(&mut self, step: &Step) -> Result<Option<Carried>, Impossible> {
        let mover = step.action.mover();
        if !self.cluster.contains(mover) {
            return Err(Impossible(format!("there is no node {mover}")));
        }
        let before = self.now;
        step.at.map_or(Ok(()), |moment| self.wait_until(moment))?;
        self.fuse = step.cut.map(|cut| cut.after);
        let carried = self.act(&step.action);
        self.fuse = None;
        if carried.is_err() {
            self.now = before;
        }
        if carried.is_ok() {
            self.steps += 1;
            if let Some(cut) = step.cut
                && self.violation.is_none()
            {
                self.crash(mover, cut.keep as usize);
                self.note(mover, || "crashes in the midst of it".to_owned());
            }
        }
        carried
    }

    fn act(&mut self, action: &Action) -> Result<Option<Carried>, Impossible> {
        match action {
            Action::Deliver { message, keep, lie } => {
                return self.deliver(message, *keep, *lie).map(Some);
            }
            Action::Drop(message) => {
                let found = self.flights.find(message, false, self.loose);
                let found = found.ok_or_else(|| self.no(message))?;
                self.flights.arrive((message.from, message.to), found.serial, false);
            }
            Action::Timeout { node, timer } => self.timeout(*node, timer)?,
            Action::Propose { node, commands } => self.ask(*node, commands)?,
            Action::Sync { node, but } => {
                self.running(*node)?;
                if self.actors[node.index()].unsynced() <= *but as usize {
                    let records = self.actors[node.index()].unsynced();
                    let why = format!("{records} records of {node} wait for a sync: not enough");
                    return Err(Impossible(why));
                }
                self.sync_but(*node, *but as usize);
            }
            Action::Crash { node, keep } => {
                let actor = &self.actors[node.index()];
                if actor.replica.is_none() && actor.unsynced() == 0 {
                    return Err(Impossible(format!("{node} is down already")));
                }
                self.crash(*node, *keep as usize);
            }
            Action::Restart(node) => {
                if self.actors[node.index()].replica.is_some() {
                    return Err(Impossible(format!("{node} is not down")));
                }
                self.boot(*node);
            }
            Action::Campaign(node) => {
                self.running(*node)?;
                self.input(*node, Input::Campaign);
            }
            Action::Transfer { node, to } => {
                self.running(*node)?;
                self.transfer(*node, *to);
            }
            Action::Change { node, change } => {
                self.running(*node)?;
                self.change(*node, change.clone());
            }
            Action::Read { node, mode } => {
                self.running(*node)?;
                self.read(*node, *mode);
            }
            Action::Snapshot(node) => {
                self.running(*node)?;
                if !self.snapshot(*node) {
                    return Err(Impossible(format!("{node} has nothing new for a snapshot")));
                }
            }
            Action::Save { node, received } => {
                if !self.save(*node, *received) {
                    return Err(Impossible(format!("no snapshot of {node} waits to be saved")));
                }
            }
        }
        Ok(None)
    }

    fn running(&self, node: NodeId) -> Result<(), Impossible> {
        match self.actors[node.index()].replica {
            Some(_) => Ok(()),
            None => Err(Impossible(format!("{node} is down"))),
        }
    }

    fn no(&self, name: &Name) -> Impossible {
        let Name { kind, from, to, .. } = name;
        let kinds = self.flights.kinds((*from, *to)).into_iter();
        let there: Vec<_> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
        let there = if there.is_empty() { "nothing".into() } else { there.join(", ") };
        Impossible(format!("no such {kind} is on its way from {from} to {to}; there is {there}"))
    }

    fn deliver(&mut self, name: &Name, keep: bool, lie: bool) -> Result<Carried, Impossible> {
        self.running(name.to)?;
        let found = self.flights.find(name, lie, self.loose).ok_or_else(|| self.no(name))?;
        self.flights.arrive((name.from, name.to), found.serial, keep);
        let print = Fingerprint::of(&*found.message).0;
        let message = Arc::unwrap_or_clone(found.message);
        let rejected = self.hand(name.from, name.to, message);
        if let Err(why) = rejected {
            self.note(name.to, || format!("rejects it: {why}"));
            if self.witness.is_correct(name.from) {
                let detail = format!("{} rejects what correct {} said: {why}", name.to, name.from);
                let rule = "honest messages are let in";
                self.fail(Some(name.to), crate::report::Finding::new("O18", rule, detail));
            }
        }
        Ok(Carried { serial: found.serial, print, lie: found.lie })
    }

    fn timeout(&mut self, node: NodeId, name: &str) -> Result<(), Impossible> {
        self.running(node)?;
        let set = self.actors[node.index()].timers.keys();
        let Some(timer) = set.clone().find(|timer| kebab(timer) == name).copied() else {
            let set: Vec<_> = set.map(kebab).collect();
            let set = if set.is_empty() { "none".into() } else { set.join(", ") };
            return Err(Impossible(format!("no timer '{name}' of {node} is set; set are: {set}")));
        };
        self.is_due(node, timer)?;
        self.fire(node, timer);
        Ok(())
    }

    /// Fires a timer, whether it is set or not.
    pub fn fire(&mut self, node: NodeId, timer: P::Timer) {
        self.actors[node.index()].timers.remove(&timer);
        self.input(node, Input::Timer(timer));
    }

    fn ask(&mut self, node: NodeId, proposals: &[Proposal]) -> Result<(), Impossible> {
        self.running(node)?;
        let commands: Vec<_> = proposals.iter().map(|one| self.command(one)).collect();
        self.input(node, Input::Propose(Batch::of(&commands)));
        Ok(())
    }

    /// The command that a proposal stands for.
    pub fn command(&self, proposal: &Proposal) -> Command {
        let (client, session, request, payload) = match proposal {
            Proposal::Text(text) => return self.signed(command_of(text)),
            Proposal::Request { client, session, request, payload } => {
                (*client, *session, *request, payload.clone())
            }
        };
        self.signed(Command { client, session, request, payload, tag: Tag::none() })
    }
}

/// The name of a timer or a fault in scenarios: `Election` is `election`.
pub(crate) fn kebab<T: fmt::Debug>(timer: &T) -> String {
    let mut name = String::new();
    for letter in format!("{timer:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}
