//! A small replicated key-value store over the Synod state machine trait.
