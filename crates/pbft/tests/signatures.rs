//! A signature covers every word of what is signed (OSDI '99, §2, §4.2: "signed by"), and evidence
//! is of those who signed it. Every message of a run with a view change is altered in every place,
//! one at a time, and must not be let in: neither as it is, nor signed anew by a sender that lies
//! about what others said.

use crate::lab::{Lab, decide, said};
use serde_json::Value;
use synod_pbft::{Body, Message, Timer};

/// Who said what.
type Said = (usize, Message);

/// One message of each kind and more: decisions, a checkpoint, a view change that carries
/// something, and what is shown to one that was away.
fn a_run() -> Vec<Said> {
    let mut lab = Lab::with_small_window(4);
    let mut all = Vec::new();
    for text in ["a", "b", "c"] {
        lab.propose(0, text);
        for kind in ["pre-prepare", "prepare", "commit", "checkpoint"] {
            note(&lab, &mut all);
            lab.carry_kind(kind);
        }
        lab.carry_all();
    }
    lab.propose(0, "d");
    for kind in ["pre-prepare", "prepare"] {
        lab.carry_kind(kind);
    }
    lab.lose_all();
    for backup in 1..4 {
        lab.fire(backup, Timer::View);
    }
    note(&lab, &mut all);
    lab.carry_kind("view-change");
    note(&lab, &mut all);
    lab.carry_all();
    lab.cut([3]);
    decide(&mut lab, "e");
    lab.cut([]);
    lab.ask_around(3);
    lab.carry_kind("fetch");
    note(&lab, &mut all);
    all
}

fn note(lab: &Lab, all: &mut Vec<Said>) {
    for flying in lab.flying() {
        let said = (flying.from.index(), (*flying.message).clone());
        if !all.contains(&said) {
            all.push(said);
        }
    }
}

/// The places at which a value may be altered: numbers, of several in a row the first, what may be
/// missing, and lists that may be shorter.
fn places(value: &Value, here: &str, out: &mut Vec<String>) {
    match value {
        Value::Number(_) => out.push(here.to_owned()),
        Value::Array(items) => {
            if items.iter().all(Value::is_number) {
                out.extend(items.first().map(|_| format!("{here}/0")));
                return;
            }
            out.push(here.to_owned());
            for (nth, item) in items.iter().enumerate() {
                places(item, &format!("{here}/{nth}"), out);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let there = format!("{here}/{name}");
                if field.is_object() {
                    out.push(there.clone());
                }
                places(field, &there, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Another number, nothing, or a list without its last item.
fn altered(body: &Body, place: &str) -> Option<Body> {
    let mut value = serde_json::to_value(body).expect("a message has a form");
    let there = value.pointer_mut(place).expect("it was just there");
    *there = match there.take() {
        Value::Number(number) => (number.as_u64()? ^ 1).into(),
        Value::Array(mut items) => {
            items.pop();
            items.into()
        }
        _ => Value::Null,
    };
    serde_json::from_value(value).ok().filter(|other| other != body)
}

/// Is this place in what others than the sender have signed?
fn is_evidence(place: &str) -> bool {
    ["prepared/", "stable/", "view_changes/", "decided/", "batch"]
        .iter()
        .any(|it| place.contains(it))
}

#[test]
fn no_word_that_is_signed_can_be_altered() {
    let lab = &mut Lab::with_small_window(4);
    let (mut tried, mut kinds) = (0, std::collections::BTreeSet::new());
    for (by, Message { body, tag, repeat }) in a_run() {
        let signed_by_itself =
            !matches!(body, Body::Request { .. } | Body::Fetch { .. } | Body::Fetched { .. });
        let (to, mut all) = ((by + 1) % 4, Vec::new());
        let form = serde_json::to_value(&body).expect("a message has a form");
        places(&form, "", &mut all);
        for place in all {
            let Some(body) = altered(&body, &place) else { continue };
            let kind = place.split('/').nth(1).unwrap_or_default().to_owned();
            if signed_by_itself {
                let message = Message { body: body.clone(), tag: tag.clone(), repeat };
                assert!(lab.try_hand(by, to, message).is_err(), "{place} of {body:?}");
            }
            // Whoever shows it may leave things out at the end, if nobody has signed the whole.
            let shorter = form.pointer(&place).is_some_and(Value::is_array);
            if is_evidence(&place) && (signed_by_itself || !shorter) {
                let anew = said(by, body);
                assert!(lab.try_hand(by, to, anew.clone()).is_err(), "{place} anew: {anew:?}");
            }
            (tried, _) = (tried + 1, kinds.insert(kind));
        }
    }
    let expected =
        ["Checkpoint", "Commit", "Fetched", "NewView", "PrePrepare", "Prepare", "ViewChange"];
    assert!(expected.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    assert!(tried > 300, "{tried}");
}
