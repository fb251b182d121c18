//! The speed of the pure step. Raft and Multi-Paxos of this project, OmniPaxos, raft-rs and a
//! hand-written floor do the same work in the same loops: three replicas, messages handed over in
//! memory, no disk and no encoding. What remains is the algorithm itself.
//!
//! * [`lockstep`]: all in one thread. A turn: the leader takes in what has come, delivers what is
//!   committed, refills the window of outstanding commands, and sends; then each follower in turn.
//!   So a window is one burst.
//! * [`channels`]: a task a replica and a task a client, over tokio channels.
//!
//! A command is handed over as borrowed bytes, and each system makes of it what it wants to own. It
//! is delivered when a replica has folded it into an order-dependent checksum. The checksums of the
//! replicas are compared at the end. Nobody trims its log; each episode has a new cluster.

pub mod channels;
pub mod lockstep;
pub mod measure;
pub mod node;
pub mod tally;
