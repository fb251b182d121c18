//! Multi-Paxos, used from outside. All in one program, so that the simulator is compiled once for
//! it.

mod changes;
mod connectivity;
mod forgetting;
mod lab;
mod leases;
mod office;
mod paper;
mod phase_1;
mod schedules;
mod seams;
mod simulation;
