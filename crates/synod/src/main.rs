//! Compare, simulate and run consensus algorithms: the command line of Synod.
fn main() {}
