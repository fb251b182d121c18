//! Named options: where a paper leaves a choice, or a product makes another one than the paper. A
//! name is what a user types, a table shows and a scenario file says.

use crate::cluster::ConfigError;

/// A named option of an algorithm, off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Its name, `key=value`. Of the options with one key at most one can be on.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
}

impl Variant {
    /// An option.
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self { name, about }
    }

    /// What comes before `=` in a name.
    pub fn key(name: &str) -> &str {
        name.split_once('=').map_or(name, |(key, _)| key)
    }

    /// The error for a name that is none of these.
    pub fn unknown(name: &str, variants: &[Self]) -> ConfigError {
        if variants.is_empty() {
            return ConfigError(format!("there is no option '{name}', nor any other"));
        }
        let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
        ConfigError(format!("there is no option '{name}'; choose from {}", names.join(", ")))
    }
}
