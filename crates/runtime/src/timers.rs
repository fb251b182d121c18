//! A replica's timers: each has one slot, and what was set again or cancelled never fires.

use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// The timers that are set.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    slots: BTreeMap<T, Instant>,
    order: BTreeSet<(Instant, T)>,
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { slots: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Sets a timer, and forgets when it was to fire before.
    pub(crate) fn set(&mut self, timer: T, at: Instant) {
        self.cancel(timer);
        self.slots.insert(timer, at);
        self.order.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, timer: T) {
        if let Some(at) = self.slots.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// When the next one fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the next one that is due. One at a time: the step that it causes may cancel the
    /// others.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    /// The contract, 1: a timer that was set again or cancelled never fires stale.
    #[test]
    fn a_timer_has_one_slot_and_stale_settings_never_fire() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.set('a', at(10));
        timers.set('b', at(20));
        timers.set('c', at(20));
        timers.set('a', at(30));
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.pop_due(at(25)), Some('b'));
        timers.cancel('c');
        assert_eq!(timers.pop_due(at(25)), None, "c was cancelled and a was set again");
        assert_eq!(timers.pop_due(at(30)), Some('a'));
        assert_eq!(timers.next(), None);
    }
}
