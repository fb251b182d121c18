//! `compare duel` as a whole: every row is there, and the pictures.

use synod_benches::{DuelOptions, duel};

#[test]
fn a_duel_has_a_row_for_every_manner_and_number_and_two_pictures() {
    let options = DuelOptions { nodes: 3, proposers: 3, seeds: 2, seed: 7 };
    let comparison = duel(&options, &mut |_, _, _| {}).expect("sound worlds");
    assert!(comparison.valid());
    let data = comparison.json("test");
    let rows = data["sections"]["duel"]["rows"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 5 * 3);
    assert_eq!(data["raw"]["duel"].as_array().map(Vec::len), Some(15));
    let stuck = |row: &serde_json::Value| row["stuck"].as_f64().expect("a number");
    for row in rows.iter().filter(|row| row["manner"] != "paxos, no back-off") {
        assert_eq!(stuck(row), 0.0, "{row}");
    }
    assert!(comparison.text().contains("no decision"), "{}", comparison.text());
}
