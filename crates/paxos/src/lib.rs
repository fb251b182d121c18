//! Basic Paxos, one instance per slot, as a pure state machine.
