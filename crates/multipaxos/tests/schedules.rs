//! Random schedules on the table: any message may be lost, doubled or late, any timer may fire, any
//! disk may be behind, any replica may crash and lose what its disk has not kept. A second, smaller
//! rig beside the simulator: it knows no time, so that nothing is too unlikely, and it checks all
//! local invariants after every step.

use crate::lab::Lab;
use consensus_core::{
    AuthMeter, Batch, Cluster, ClusterId, ConsensusProtocol as _, Effects, Env, Input, LogIndex,
    NoKeys, NodeId, NodeSet, ProtocolConfig, ReadMode, RecordNumber, Role, Sizes,
};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use synod_multipaxos::{Config, MultiPaxos, Timer};
use synod_sim::Rng;

/// A cluster under a random schedule, and what it gave out over all lives of all replicas.
struct Run {
    lab: Lab,
    chance: Rng,
    chosen: BTreeMap<LogIndex, Batch>,
    proposed: BTreeSet<String>,
    leaders: BTreeSet<(usize, u64)>,
    /// Members change.
    churn: bool,
    /// The versions of them that came into force.
    versions: BTreeSet<LogIndex>,
}

impl Run {
    fn new(seed: u64, churn: bool) -> Self {
        let mut chance = Rng::new(seed);
        let size = chance.pick(&[3, 3, 4, 5]);
        let cluster = match churn {
            true => Cluster { voters: NodeSet::first(3), ..Cluster::new(ClusterId(1), 5) },
            false => Cluster::new(ClusterId(1), size),
        };
        let sizes = chance.pick(&[Sizes::USUAL, Sizes::SMALLEST, Sizes::of_bits(seed as u32)]);
        let mut config = Config::with_sizes(&cluster, sizes).expect("a cluster");
        if churn {
            config.trailing_entries = chance.below(3);
        }
        let mut lab = Lab::with(cluster, config);
        lab.slow_disks();
        let proposed = BTreeSet::from(["no-op".to_owned()]);
        let (chosen, leaders) = (BTreeMap::new(), BTreeSet::new());
        Self { lab, chance, chosen, proposed, leaders, churn, versions: BTreeSet::new() }
    }

    /// Whoever leads, or thinks so, is asked for other members.
    fn change(&mut self) {
        let Self { lab, chance, .. } = self;
        let leads = |id: &usize| lab.is_up(*id) && lab.status(*id).role == Role::Leader;
        let Some(id) = lab.ids().find(leads) else { return };
        let size = lab.size();
        let mut any = || NodeId(chance.place(size) as u8);
        let (one, other, what) = (any(), any(), chance.below(5));
        lab.change(id, |seen| match what {
            0 => seen.add_learner(one),
            1 | 2 => seen.add_voter(one),
            3 => seen.remove(one),
            _ => seen.remove(one).add_voter(other),
        });
    }

    /// One thing happens.
    fn disturb(&mut self, step: usize) {
        if self.churn && self.chance.below(40) == 0 {
            self.change();
        }
        let Self { lab, chance, .. } = self;
        let id = chance.place(lab.size());
        let up = lab.is_up(id);
        match chance.below(100) {
            0 => lab.crash(id, chance.place(4)),
            1..=7 if !up => lab.restart(id),
            8..=27 => {
                lab.sync(id);
                lab.save_received(id);
            }
            28..=33 => {
                // Mostly at a leader, there may be several, or nothing would happen.
                let leads = |id: &usize| lab.is_up(*id) && lab.status(*id).role == Role::Leader;
                let at = (id..lab.size()).find(leads).unwrap_or(id);
                let text = format!("value {step}");
                lab.propose(at, &text);
                self.proposed.insert(text);
            }
            34..=38 if up => {
                let timers = lab.timers(id);
                if !timers.is_empty() {
                    lab.fire(id, chance.pick(&timers));
                }
            }
            39 => lab.give(id, Input::Campaign),
            40 if up => match chance.below(4) {
                0 => {
                    let to = chance.place(lab.size());
                    lab.transfer(id, to);
                }
                1 | 2 => {
                    let modes = [ReadMode::Quorum, ReadMode::Index];
                    lab.read(id, chance.pick(&modes));
                }
                _ => lab.try_snapshot(id),
            },
            what => {
                let mut flying = lab.flying();
                if !flying.is_empty() {
                    let flying = flying.swap_remove(chance.place(flying.len()));
                    if what >= 48 {
                        lab.lose(&flying);
                    }
                    if what < 95 && lab.is_up(flying.to.index()) {
                        lab.deliver(&flying);
                    }
                }
            }
        }
        // Old letters are kept for late deliveries, but not for ever.
        let mut flying = lab.flying();
        while flying.len() > 80 {
            lab.lose(&flying.swap_remove(chance.place(flying.len())));
        }
    }

    /// §2.1: only a value that was proposed is chosen, and only a single one.
    fn observe(&mut self) -> Result<(), String> {
        for id in 0..self.lab.size() {
            for (slot, batch) in (1u64..).map(LogIndex).zip(self.lab.committed(id)) {
                let first = self.chosen.entry(slot).or_insert_with(|| batch.clone());
                if first != batch {
                    return Err(format!("n{id} slot {slot}: {batch:?}, and before {first:?}"));
                }
            }
            let batches = self.lab.committed(id).iter().filter(|batch| !batch.is_membership());
            let mut says = batches.map(|batch| match batch.commands().next() {
                Some(command) => String::from_utf8_lossy(&command.payload).into_owned(),
                None => "no-op".to_owned(),
            });
            if let Some(word) = says.find(|word| !self.proposed.contains(word)) {
                return Err(format!("n{id}: nobody proposed {word}"));
            }
            if self.lab.is_up(id) {
                self.versions.insert(self.lab.members(id).0.version);
            }
            if self.lab.is_up(id) && self.lab.status(id).role == Role::Leader {
                self.leaders.insert((id, self.lab.status(id).epoch));
            }
        }
        Ok(())
    }

    /// Everybody is well: what is proposed now is chosen, and all learn it.
    fn recover(&mut self) -> Result<(), String> {
        self.lab.quick_disks();
        for id in 0..self.lab.size() {
            if !self.lab.is_up(id) {
                self.lab.restart(id);
            }
            self.lab.sync(id);
        }
        self.proposed.insert("last".into());
        for _ in 0..100 {
            self.lab.carry_all();
            for id in 0..self.lab.size() {
                self.lab.save_received(id);
            }
            self.observe()?;
            let all = 0..self.lab.size();
            let leads = |id: &usize| self.lab.status(*id).role == Role::Leader;
            let leader = all.clone().filter(leads).max_by_key(|id| self.lab.status(*id).epoch);
            let heard = |id: usize| self.lab.words(id).iter().any(|word| word == "last");
            let members = leader.map(|leader| self.lab.members(leader).0.members());
            if members.is_some_and(|members| members.iter().all(|id| heard(id.index()))) {
                return Ok(());
            }
            match leader {
                Some(leader) => {
                    self.lab.propose(leader, "last");
                    self.lab.carry_all();
                    for timer in [
                        Timer::Transfer,
                        Timer::Retry,
                        Timer::Retry,
                        Timer::Heartbeat,
                        Timer::Heartbeat,
                    ] {
                        self.fire_if_set(leader, timer);
                    }
                }
                None => {
                    for id in all {
                        self.fire_if_set(id, Timer::Silence);
                    }
                    let id = self.chance.place(self.lab.size());
                    self.fire_if_set(id, Timer::Election);
                }
            }
        }
        Err("a cluster that is well makes no progress".into())
    }

    fn fire_if_set(&mut self, id: usize, timer: Timer) {
        if self.lab.timer(id, timer).is_some() {
            self.lab.fire(id, timer);
        }
    }
}

/// A whole run; how much was chosen, how many leaders there were, and how many versions of the
/// members.
fn run(seed: u64, churn: bool) -> Result<[usize; 3], String> {
    let mut run = Run::new(seed, churn);
    for step in 0..1_500 {
        run.disturb(step);
        run.observe()?;
    }
    run.recover()?;
    Ok([run.chosen.len(), run.leaders.len(), run.versions.len()])
}

/// PMS §2.1 and §3, under any schedule; and afterwards all goes on. That values were chosen and
/// leaders changed is demanded, too: a schedule in which nothing happens proves nothing.
#[test]
fn any_schedule_keeps_agreement() {
    let [chosen, leaders, _] = runs(false);
    assert!(chosen > 300 * 5, "{chosen} slots were chosen");
    assert!(leaders > 300 * 5, "{leaders} leaders were seen");
}

/// The same while members change.
#[test]
fn changes_of_members_keep_agreement() {
    let [chosen, leaders, versions] = runs(true);
    assert!(chosen > 300 * 5, "{chosen} slots were chosen");
    assert!(leaders > 300 * 5, "{leaders} leaders were seen");
    assert!(versions > 300 * 2, "members changed {versions} times");
}

fn runs(churn: bool) -> [usize; 3] {
    let mut sums = [0; 3];
    for seed in 0..300 {
        let counts = run(seed, churn).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sums
}

/// What a replica does after such inputs, and how it is then.
fn behaviour(mut replica: MultiPaxos, cluster: &Cluster, inputs: Vec<Input<MultiPaxos>>) -> String {
    let (keys, meter) = (NoKeys, AuthMeter::default());
    let env = Env::new(Duration::ZERO, cluster, &keys, &meter);
    let mut effects = Effects::after_recovery(1 << 20);
    for input in inputs {
        replica.step(input, &env, &mut effects);
    }
    let done: Vec<_> = effects.drain().collect();
    format!("{done:?} {:?} {}", replica.status(), replica.awaits_durable())
}

/// `ConsensusProtocol::awaits_durable`: who does not wait for the disk need not be told of it, so
/// the news changes nothing, neither now nor at whatever comes next.
fn no_news_is_missed(lab: &Lab, id: usize) -> Result<bool, String> {
    let replica = lab.replica(id);
    if replica.awaits_durable() {
        return Ok(false);
    }
    let cluster = lab.cluster();
    let news = || Input::Durable(RecordNumber(1 << 20));
    let nothing = behaviour(replica.clone(), cluster, vec![]);
    if behaviour(replica.clone(), cluster, vec![news()]) != nothing {
        return Err(format!("n{id} does not wait for its disk, and news of it are news"));
    }
    for timer in lab.timers(id) {
        let untold = behaviour(replica.clone(), cluster, vec![Input::Timer(timer)]);
        let told = behaviour(replica.clone(), cluster, vec![news(), Input::Timer(timer)]);
        if told != untold {
            return Err(format!("n{id} at {timer:?}: {told}, and untold of its disk {untold}"));
        }
    }
    Ok(true)
}

/// Disks that are mostly behind, and a look at every step at one who does not wait for its own.
fn nobody_misses_news() -> Result<usize, String> {
    let mut looked_at = 0;
    for seed in 0..60 {
        let mut run = Run::new(seed, false);
        for step in 0..600 {
            run.disturb(step);
            let id = run.chance.place(run.lab.size());
            if run.lab.is_up(id) {
                looked_at += usize::from(no_news_is_missed(&run.lab, id)?);
            }
        }
    }
    Ok(looked_at)
}

/// A driver tells of the disk only who waits for it.
#[test]
fn who_does_not_wait_for_the_disk_misses_nothing() {
    let looked_at = nobody_misses_news().unwrap_or_else(|why| panic!("{why}"));
    assert!(looked_at > 1_000, "only {looked_at} did not wait");
}

/// The same sees the bugs that are planted for it.
#[cfg(feature = "mutants")]
#[test]
fn who_should_wait_for_the_disk_and_does_not_is_found() {
    consensus_core::mutant::plant(Some("M171"));
    let passed = nobody_misses_news();
    consensus_core::mutant::plant(None);
    assert!(passed.is_err(), "M171 was not found");
}

/// The planted bugs that break agreement, found without clock and oracles.
#[cfg(feature = "mutants")]
#[test]
fn schedules_find_the_planted_bugs_that_break_agreement() {
    let plain = ["M01", "M02", "M03", "M04", "M21"].map(|name| (name, false));
    let churned = ["M05", "M103", "M107", "M130", "M131"].map(|name| (name, true));
    for (name, churn) in plain.into_iter().chain(churned) {
        consensus_core::mutant::plant(Some(name));
        let broken = (0..2_000).find_map(|seed| {
            // The oracles of the lab panic; the schedule itself compares what was decided.
            let ended = std::panic::catch_unwind(|| run(seed, churn));
            ended.map_or(Some("an oracle".to_owned()), Result::err)
        });
        consensus_core::mutant::plant(None);
        assert!(broken.is_some(), "{name} was not found");
    }
}
