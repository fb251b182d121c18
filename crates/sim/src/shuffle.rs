//! Runs without a clock. What happens next is drawn from everything that could happen next: a
//! message arrives, a sync ends, a timer fires, a node crashes. A timed run makes it rare that a
//! message stays under way while two leaders come and go; here that is as likely as any other
//! order. Priorities of links, drawn and drawn again, keep some of them slow for long (Burckhardt,
//! Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of
//! Finding Bugs", ASPLOS 2010).
//!
//! Clusters are small and of every size, even ones too, commands are few, and runs are short.

use crate::check::Run;
use crate::nemesis::Churn;
use crate::operators::{Offers, Operators};
use crate::options::{Options, sessions, sizes, turns, variants};
use crate::rng::{CERTAIN, Rng};
use crate::traitor::Treason;
use crate::world::Pool;
use consensus_core::{Audit, ClientId, FaultModel, NodeId, NodeSet};

/// How a run without a clock draws what happens next. Chances are in ten thousand, see
/// [`CERTAIN`](crate::CERTAIN).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shuffle {
    /// Draws of the run.
    pub steps: u64,
    /// A timer fires next, though messages or syncs are under way.
    pub timers: u32,
    /// A fault strikes next.
    pub faults: u32,
    /// The message that was drawn is lost.
    pub loss: u32,
    /// It is delivered, and a copy of it stays under way.
    pub duplication: u32,
    /// So many events are drawn, and the one with the highest priority happens: with 1 all orders
    /// are equally likely, with more some links are slow and others fast.
    pub candidates: u32,
    /// All priorities are drawn anew.
    pub turns: u32,
    /// At the end a quorum is healed, the clock runs again, and progress is demanded, as in a timed
    /// run.
    pub progress: bool,
}

impl Shuffle {
    fn drawn(rng: &mut Rng) -> Self {
        Self {
            steps: rng.between(100, 1_000),
            timers: rng.pick(&[50, 200, 600, 1_500, 4_000]),
            faults: rng.pick(&[0, 50, 200, 500]),
            loss: rng.pick(&[0, 0, 300, 1_500]),
            duplication: rng.pick(&[0, 0, 300, 1_500]),
            candidates: rng.pick(&[1, 2, 4, 16]),
            turns: rng.pick(&[50, 200, 1_000]),
            progress: rng.chance(2_500),
        }
    }
}

impl Options {
    /// What this seed draws for a run without a clock.
    pub fn for_shuffle<P: Audit>(seed: u64) -> Self {
        let rng = &mut Rng::for_purpose(seed, 11);
        let byzantine = P::INFO.faults == FaultModel::Byzantine;
        let nodes = if byzantine {
            rng.pick(&[4, 4, 4, 5, 6, 7])
        } else {
            rng.pick(&[2, 3, 3, 3, 4, 4, 5, 6])
        };
        let most = if byzantine { P::INFO.max_faults(nodes) as u64 } else { 0 };
        let mut drawn = Self {
            clients: rng.between(1, 2) as usize,
            commands: rng.between(1, 3) as usize,
            registers: 1,
            max_batch: rng.pick(&[1, 2]),
            sizes: sizes(seed),
            turns: turns(seed),
            sessions: sessions(seed),
            variants: variants::<P>(seed),
            traitors: rng.between(0, most) as usize,
            shuffle: Some(Shuffle::drawn(rng)),
            operators: Operators::drawn(&mut Rng::for_purpose(seed, 12), Offers::of::<P>(), true),
            ..Self::quiet(nodes)
        };
        drawn.faults.network.client_silence = rng.pick(&[0, 5_000, CERTAIN]);
        drawn.made_sound::<P>(seed)
    }
}

impl<P: Audit> Run<'_, P> {
    /// The phase without a clock. What is under way at its end arrives in the phases that follow.
    pub(crate) fn shuffled(&mut self, shuffle: &Shuffle) {
        for _ in 0..self.options.clients {
            self.add_client();
        }
        self.add_crowd();
        for traitor in self.world.traitors().iter() {
            self.turn(traitor);
        }
        self.add_readers();
        let mut churn = Churn::new(self.seed, &self.options.operators);
        let mut pool = Pool::new(self.rng.next_u64());
        for _ in 0..shuffle.steps {
            if self.world.violation().is_some() {
                return;
            }
            if self.rng.chance(shuffle.faults) {
                self.strike();
            }
            if !churn.is_idle() && self.rng.chance(150) {
                churn.act_at_once(&mut self.world);
            }
            self.world.happen_any(&mut pool, shuffle, &mut self.rng);
            self.print();
        }
        churn.keep_promises(&mut self.world);
        self.world.put_back(pool);
    }

    fn turn(&mut self, traitor: NodeId) {
        let treason = self.rng.pick(&Treason::ALL);
        self.world.betray(traitor, treason);
    }

    fn any_node(&mut self) -> NodeId {
        NodeId(self.rng.below(self.options.nodes as u64) as u8)
    }

    /// Something goes wrong, or is set right, or an operator or a client comes by.
    fn strike(&mut self) {
        let all = self.world.cluster().nodes();
        let down: Vec<NodeId> =
            all.iter().filter(|node| self.world.replica(*node).is_none()).collect();
        if !down.is_empty() && self.rng.chance(5_000) {
            let node = self.rng.pick(&down);
            return self.world.restart(node);
        }
        let node = self.any_node();
        match self.rng.below(10) {
            0 => self.world.crash(node),
            1 => {
                let effects = self.rng.below(8) as u32;
                self.world.crash_after_effects(node, effects);
            }
            2 | 3 => self.world.crash_before_sync(node),
            4 => self.crash_all(all),
            5 | 6 => {
                self.world.fault("asked to campaign");
                self.world.campaign(node);
            }
            7 => drop(self.world.submit(node, "x")),
            8 => self.cut_or_mend(node),
            _ => self.turn_someone(node),
        }
    }

    fn crash_all(&mut self, all: NodeSet) {
        for node in all.iter() {
            self.world.crash(node);
            self.world.restart(node);
        }
    }

    fn cut_or_mend(&mut self, node: NodeId) {
        if self.world.is_split() {
            self.world.heal_all();
        } else {
            self.world.fault("node isolated");
            self.world.isolate(node);
        }
    }

    /// A traitor changes its ways, or a client loses sight of a node.
    fn turn_someone(&mut self, node: NodeId) {
        if self.world.traitors().contains(node) {
            return self.turn(node);
        }
        let client = ClientId(self.rng.between(1, self.options.clients as u64));
        let from = if self.rng.chance(5_000) { NodeSet::only(node) } else { NodeSet::EMPTY };
        self.world.cut_client(client, from);
    }
}
