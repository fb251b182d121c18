//! Recorded runs speak only words that the texts in TLA+ know (`docs/tla`). TLC, which checks what
//! the words mean, is no part of these tests: `docs/tla/check` runs it.

use consensus_core::Audit;
use std::collections::BTreeSet;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, chronicle};

const TEXTS: [(Algorithm, &str); 3] =
    [(Algorithm::Raft, "Raft"), (Algorithm::Paxos, "Paxos"), (Algorithm::MultiPaxos, "MultiPaxos")];

/// Inputs that a text has actions for, or that let a node say again what it said.
const INPUTS: [&str; 7] =
    ["Start", "Message", "Propose", "Timer", "Durable", "Campaign", "Drained"];

/// Fields of messages that the texts leave out: they count, or decide how soon somebody acts, or
/// belong to what is switched off in recorded runs.
const LEFT_OUT: [&str; 13] = [
    "again",
    "conflict",
    "forgotten",
    "handed",
    "lost",
    "offered",
    "priority",
    "repair",
    "repeat",
    "round",
    "seen",
    "settled",
    "verified",
];

struct Tape(u64);

impl Visitor for Tape {
    type Output = String;

    fn visit<P: Audit>(self) -> String {
        let options = Options::for_seed::<P>(self.0).without_extras();
        chronicle::<P>(self.0, &options, 2_000).1
    }
}

/// What follows `before` in the tape, up to a quotation mark.
fn named<'a>(tape: &'a str, before: &str) -> BTreeSet<&'a str> {
    tape.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The names of all fields in lines about messages that left.
fn fields(tape: &str) -> BTreeSet<&str> {
    let sent = tape.lines().filter(|line| line.contains("event |-> \"Sent\""));
    let before = sent.flat_map(|line| line.split(" |-> "));
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let names = before.filter_map(|text| text.rsplit(|letter| !is_part(letter)).next());
    names.filter(|name| !name.is_empty()).collect()
}

/// A message, record or field with a new name would be one that a trace module cannot take.
#[test]
fn recorded_runs_speak_the_words_of_the_texts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tla");
    let mut left_out = BTreeSet::new();
    for (algorithm, name) in TEXTS {
        let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}.tla"));
        let read = |file: &str| read(file).unwrap_or_else(|why| panic!("{file}: {why}"));
        let text = read(name) + &read(&format!("{name}Trace")) + &read("Replay");
        for seed in 0..20 {
            let tape = algorithm.dispatch(Tape(seed));
            for input in named(&tape, "input |-> [kind |-> \"") {
                assert!(INPUTS.contains(&input), "{algorithm}, seed {seed}: {input}");
            }
            let spoken = named(&tape, "message |-> [kind |-> \"");
            assert!(spoken.len() > 3, "{algorithm}, seed {seed}: {spoken:?}");
            for kind in spoken.union(&named(&tape, "record |-> [kind |-> \"")) {
                let word = format!("\"{kind}\"");
                assert!(text.contains(&word), "{name}.tla does not know {kind}, seed {seed}");
            }
            for field in fields(&tape) {
                let used = [format!("{field} |->"), format!(".{field}")];
                if !used.iter().any(|word| text.contains(word)) {
                    assert!(LEFT_OUT.contains(&field), "{name}.tla: {field}? seed {seed}");
                    left_out.insert(field.to_owned());
                }
            }
        }
    }
    assert!(left_out.iter().eq(LEFT_OUT), "fields that no text has: {left_out:?}");
}
