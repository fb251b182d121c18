//! Practical Byzantine Fault Tolerance, as a pure state machine.
