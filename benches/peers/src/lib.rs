//! One three-replica cluster in one thread, messages handed over in memory, no disk and no encoding:
//! what remains is the algorithm itself. Raft and Multi-Paxos of this project, OmniPaxos, raft-rs,
//! and a hand-written floor do the same work in the same loop:
//!
//! * **A turn**: the leader takes in what has arrived, delivers what is committed, refills the
//!   window of outstanding commands and sends; then each follower in turn takes in, delivers, and
//!   answers. In this lock step a window is one burst.
//! * **A command** is handed over as borrowed bytes; each system makes of it what it wants to own.
//! * **Delivered** is a command when every replica has folded it into an order-dependent checksum.
//!   The checksums of the replicas are compared at the end.
//! * Nobody trims its log; each episode begins with a new cluster.

pub mod measure;
pub mod system;
pub mod tally;
