//! Raft: leader election and log replication, as a pure state machine.
