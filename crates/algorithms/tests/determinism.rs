//! Equal logs give equal states only if the service is deterministic (reading note E-08: that is
//! the application's part). A service that looks at a clock is found out, under every algorithm, by
//! the states that its replicas come to (O15).

use bytes::Bytes;
use consensus_core::{Audit, Cluster, ClusterId, NodeId, Patience, RestoreError, StateMachine};
use core::time::Duration;
use std::cell::Cell;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Setup, World};

/// Keeps what it was told, each with the time at which it was: by the command, or by its own clock.
#[derive(Clone)]
struct Diary {
    clock: u64,
    looks_at_clock: bool,
    entries: Vec<(u64, Bytes)>,
}

impl StateMachine for Diary {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.clock += 10;
        let time = if self.looks_at_clock { self.clock } else { u64::from(command[0]) };
        self.entries.push((time, command.clone()));
        Bytes::new()
    }

    fn query(&self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        let entry = |(time, what): &(u64, Bytes)| [&time.to_le_bytes(), &what[..]].concat();
        self.entries.iter().flat_map(entry).collect()
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Err(RestoreError("no snapshot is taken here".into()))
    }
}

/// Which oracle stops a quiet run of this service, if one does.
struct Judged {
    looks_at_clock: bool,
}

impl Visitor for Judged {
    type Output = Option<&'static str>;

    fn visit<P: Audit>(self) -> Self::Output {
        let cluster = Cluster::new(ClusterId(1), 4);
        let setup = Setup { compare_states_every: Some(8), ..Setup::<P>::new(cluster, 1) };
        let replicas = Cell::new(0);
        let mut world = World::new(setup, move || {
            // No two clocks are set alike.
            replicas.set(replicas.get() + 1);
            let looks_at_clock = self.looks_at_clock;
            Diary { clock: replicas.get(), looks_at_clock, entries: Vec::new() }
        });
        world.campaign(NodeId(0));
        world.add_client(NodeId(0), Patience::default(), |nth| {
            (nth < 20).then(|| (Bytes::from(vec![nth as u8]), None))
        });
        world.run_for(Duration::from_secs(20));
        world.violation().map(|violation| violation.oracle)
    }
}

#[test]
fn a_service_that_looks_at_a_clock_is_found_out() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.dispatch(Judged { looks_at_clock: true }), Some("O15"), "{algorithm}");
        assert_eq!(algorithm.dispatch(Judged { looks_at_clock: false }), None, "{algorithm}");
    }
}
