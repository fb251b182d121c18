//! PBFT, used from outside. All in one program, so that the simulator is compiled once for it.

mod attack;
mod bounds;
mod lab;
mod liars;
mod losses;
mod paper;
mod seams;
mod signatures;
mod simulation;
