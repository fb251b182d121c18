//! `compare duel` as a whole: every row is there, and the pictures.

use serde_json::Value;
use synod_benches::{DuelOptions, duel};

/// What runs of one manner and number of proposers came to.
struct Sum<'a>(&'a Value);

impl Sum<'_> {
    fn count(&self, what: &str) -> f64 {
        self.0[what].as_f64().expect("a count")
    }

    fn per_decision(&self, what: &str) -> f64 {
        self.count(what) / self.count("decisions")
    }

    /// Alone, a proposer needs one ballot, and so many messages. The second value is what is still
    /// under way when the last decision is seen.
    fn is_alone_with(&self, messages: f64) {
        assert_eq!((self.count("stuck"), self.count("nacks")), (0.0, 0.0), "{}", self.0);
        assert_eq!(self.count("ballots"), self.count("decisions"), "{}", self.0);
        let theory = self.count("decisions") * messages;
        let late = self.count("runs") * (5.0 - 1.0);
        assert!((theory - late..=theory).contains(&self.count("messages")), "{}", self.0);
    }
}

/// What duels among five replicas must cost.
#[test]
fn duels_cost_what_the_papers_say() {
    let options = DuelOptions { nodes: 5, proposers: 4, seeds: 4, seed: 0 };
    let data = duel(&options, &mut |_, _, _| {}).expect("sound worlds").json("test");
    let rows = data["raw"]["duel"].as_array().expect("rows");
    let of = |manner: &str, proposers: u64| {
        let is = |row: &&Value| row["manner"] == manner && row["proposers"] == proposers;
        Sum(rows.iter().find(is).expect("a row"))
    };
    // Without rivals manners make no difference: 4(n − 1) messages; "Fast Paxos" §3.1: half.
    for manner in ["paxos, back-off", "paxos, no back-off", "paxos, no nacks"] {
        of(manner, 1).is_alone_with(4.0 * (5.0 - 1.0));
    }
    let alone = of("paxos, fast rounds", 1);
    alone.is_alone_with(2.0 * (5.0 - 1.0));
    // §3.2: rivals collide, which costs more, but less than duels of classic rounds.
    let (fast, quiet) = (of("paxos, fast rounds", 4), of("paxos, back-off", 4));
    assert_eq!(fast.count("stuck"), 0.0);
    let messages = [&alone, &fast, &quiet].map(|sum| sum.per_decision("messages"));
    assert!(messages.is_sorted_by(|one, next| one < next), "{messages:?}");
    // "Paxos Made Simple" §2.4: without keeping quiet, rivals need more ballots or get nowhere at
    // all; with it every run ends. A leader begins no ballot.
    let at_once = of("paxos, no back-off", 4);
    assert_eq!(quiet.count("stuck"), 0.0, "chance ends every duel");
    let more = at_once.per_decision("ballots") > quiet.per_decision("ballots");
    assert!(at_once.count("stuck") > 0.0 || more, "{} and {}", at_once.0, quiet.0);
    assert_eq!(of("multipaxos, a leader", 4).count("ballots"), 0.0);
}

#[test]
fn a_duel_has_a_row_for_every_manner_and_number_and_two_pictures() {
    let options = DuelOptions { nodes: 3, proposers: 3, seeds: 2, seed: 7 };
    let comparison = duel(&options, &mut |_, _, _| {}).expect("sound worlds");
    assert!(comparison.valid());
    let data = comparison.json("test");
    let rows = data["sections"]["duel"]["rows"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 5 * 3);
    assert_eq!(data["raw"]["duel"].as_array().map(Vec::len), Some(15));
    let stuck = |row: &Value| row["stuck"].as_f64().expect("a number");
    for row in rows.iter().filter(|row| row["manner"] != "paxos, no back-off") {
        assert_eq!(stuck(row), 0.0, "{row}");
    }
    assert!(comparison.text().contains("no decision"), "{}", comparison.text());
}
