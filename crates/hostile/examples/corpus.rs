//! Writes the first corpus, `fuzz/corpus/TARGET/seed-NN`: `cargo run -p synod-hostile --example
//! corpus`. What a fuzzer or a bug added beside it stays.

use std::fs;
use std::io;
use std::path::Path;
use synod_hostile::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(target.name).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
