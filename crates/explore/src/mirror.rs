//! Is it true that nodes are alike? An algorithm says so ([`Audit::is_symmetric`]), and a search
//! that folds states believes it. Here two clusters walk side by side, one with the names swapped,
//! and must stay each other's picture: in what happens to them, and in every fingerprint. So a rule
//! that breaks a tie by number shows, and so does a number in which a node hides from the hasher.

use crate::arena::{Arena, Steps};
use crate::bounds::Bounds;
use crate::context::{BadModel, Context};
use crate::settle::begin;
use crate::state::{Action, State};
use crate::symmetry::Names;
use crate::worker::{Step, advance};
use consensus_core::{Audit, Cluster, ConfigError, Fingerprint};

/// Walks at random, side by side with each way of naming the nodes, and returns how many steps were
/// compared: none where no two nodes are alike. The same every time.
///
/// # Errors
/// If there is no such model, or if a walk and its picture part: then the algorithm is not as
/// symmetric as it says.
pub fn mirror<P: Audit>(
    bounds: &Bounds,
    configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
    (walks, length): (u32, u32),
) -> Result<u64, BadModel> {
    // A walk to a first leader would be another one for each name.
    let bounds = Bounds { led: false, ..*bounds };
    let context = Context::<P>::new(bounds, configure)?;
    let arena = Arena::new();
    let root = begin(&context, &arena).map_err(|broken| BadModel(broken.to_string()))?;
    let mut compared = 0;
    for (way, names) in context.symmetry.ways().iter().enumerate().skip(1) {
        for walk in 0..walks {
            let mut pair = Pair { way, names, own: root.clone(), other: root.clone() };
            for step in 0..length {
                let lot = Fingerprint::of(&(way, walk, step)).0;
                if !pair.walk((&context, &arena), lot).map_err(BadModel)? {
                    break;
                }
                compared += 1;
            }
        }
    }
    Ok(compared)
}

/// A cluster and its picture.
struct Pair<'a> {
    way: usize,
    names: &'a Names,
    own: State,
    other: State,
}

impl Pair<'_> {
    /// One step of both. False if there is none, or if a rule was broken by both.
    fn walk<P: Audit>(
        &mut self,
        (context, arena): (&Context<P>, &Arena<P>),
        lot: u64,
    ) -> Result<bool, String> {
        let mut actions = Vec::new();
        self.own.actions(context, &arena.read(), &mut actions);
        if actions.is_empty() {
            return Ok(false);
        }
        let action = actions[(lot % actions.len() as u64) as usize];
        let picture = self.picture(&arena.read(), action);
        let picture = picture.ok_or_else(|| format!("{action:?} has no picture"))?;
        let go = |state: &State, action| {
            advance((context, arena), state, action, &|_| false, &mut Vec::new())
        };
        match (go(&self.own, action), go(&self.other, picture)) {
            (Err(_), Err(_)) => return Ok(false),
            (Ok(Step::Nothing), Ok(Step::Nothing)) => {}
            (Ok(Step::To(own)), Ok(Step::To(other))) => (self.own, self.other) = (own, other),
            _ => return Err(format!("{action:?} does not do what {picture:?} does")),
        }
        if self.own.prints.under(self.way) == self.other.prints.own() {
            return Ok(true);
        }
        Err(format!("after {action:?} and {picture:?} the clusters are not each other's picture"))
    }

    /// What happens to the other cluster when this happens to the one. A change of members has no
    /// picture, and neither has a round.
    fn picture<P: Audit>(
        &self,
        steps: &Steps<P>,
        action: Action<P::Timer>,
    ) -> Option<Action<P::Timer>> {
        let of = |node| self.names.of(node);
        Some(match action {
            Action::Deliver { place, again } => {
                let packet = &steps.packets[self.own.network[place] as usize];
                let print = packet.prints.under(self.way);
                Action::Deliver { place: self.other.place_of(steps, print).ok()?, again }
            }
            Action::Sync(id) => Action::Sync(of(id)),
            Action::Fire(id, timer) => Action::Fire(of(id), timer),
            Action::Campaign(id) => Action::Campaign(of(id)),
            Action::Propose(id) => Action::Propose(of(id)),
            Action::Crash(id, kept, file) => Action::Crash(of(id), kept, file),
            Action::Transfer(id, to) => Action::Transfer(of(id), of(to)),
            Action::Read(id) => Action::Read(of(id)),
            Action::Snapshot(id) => Action::Snapshot(of(id)),
            Action::Keep(id) => Action::Keep(of(id)),
            Action::Tick => Action::Tick,
            Action::Change(..) | Action::Round(_) => return None,
        })
    }
}
