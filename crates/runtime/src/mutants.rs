//! The planted bugs of this crate: what others got wrong between a log and its disk (D, which the
//! rig of faulty storage must find), between threads (Q, which the interleavings must find), and in
//! what strangers send (F, which hostile bytes must find).

use consensus_core::mutant::Mutant;

/// All of them, for the kill matrix.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "D01",
        wrong: "a sync that failed is tried again, and its second \"ok\" is believed",
        oracles: &["O6", "O18"],
    },
    Mutant {
        name: "D02",
        wrong: "a bad checksum anywhere is taken for a torn tail, and the rest of the log dropped",
        oracles: &["O6"],
    },
    Mutant {
        name: "D05",
        wrong: "a replica that lost its directory comes back under its old number",
        oracles: &["O7", "O6"],
    },
    Mutant {
        name: "D06",
        wrong: "the checksum does not cover a frame's place: misdirected frames are believed",
        oracles: &["O4", "O6"],
    },
    Mutant {
        name: "D07",
        wrong: "the seal is written before the sync that it vouches for",
        oracles: &["O18"],
    },
    Mutant {
        name: "D08",
        wrong: "the directory is not synced after the log was made",
        oracles: &["O6", "O18"],
    },
    Mutant {
        name: "D09",
        wrong: "the identity gets its name before its content is synced",
        oracles: &["O18", "O7"],
    },
    Mutant {
        name: "D10",
        wrong: "a torn tail is not cut off: what comes next is written behind it",
        oracles: &["O6", "O4", "O18"],
    },
    Mutant {
        name: "D11",
        wrong: "what a start reads from the page cache is believed without a sync",
        oracles: &["O6", "O18"],
    },
    Mutant {
        name: "D12",
        wrong: "what a failed sync left in the page cache is believed without writing it again",
        oracles: &["O6", "O18"],
    },
    Mutant {
        name: "D13",
        wrong: "records are called durable when they are written",
        oracles: &["O6"],
    },
    Mutant {
        name: "D14",
        wrong: "a log that is shorter than it was at the last start is not noticed",
        oracles: &["O6"],
    },
    Mutant {
        name: "D15",
        wrong: "the checksum does not cover the file's salt: frames of an older file are believed",
        oracles: &["O4"],
    },
    Mutant {
        name: "D16",
        wrong: "the directory is not synced after the identity was replaced",
        oracles: &["O7", "O6", "O18"],
    },
    Mutant {
        name: "D17",
        wrong: "a write that failed half-way does not end the use of the log",
        oracles: &["O6", "O4", "O18"],
    },
    Mutant {
        name: "Q01",
        wrong: "a queue wakes its taker before the frame is in it",
        oracles: &["O13"],
    },
    Mutant {
        name: "Q02",
        wrong: "a queue that is closed does not wake its taker",
        oracles: &["O13"],
    },
    Mutant { name: "Q03", wrong: "the log thread reports before it syncs", oracles: &["O6"] },
    Mutant {
        name: "F01",
        wrong: "memory is taken for a frame's announced length",
        oracles: &["O14"],
    },
    Mutant { name: "F02", wrong: "what follows a decoded value is overlooked", oracles: &["O18"] },
    Mutant {
        name: "F03",
        wrong: "an identity file is believed without its checksum",
        oracles: &["O18"],
    },
    Mutant {
        name: "F04",
        wrong: "frames of a kind that nobody knows are taken for records",
        oracles: &["O18"],
    },
];
