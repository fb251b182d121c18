//! The list of all Synod protocols: name to type.
