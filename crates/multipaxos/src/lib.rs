//! Multi-Paxos with a stable leader, as a pure state machine.
