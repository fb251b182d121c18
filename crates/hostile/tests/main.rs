//! Hostile bytes, in one program, so that all protocols are compiled once for it. `memory` stands
//! apart: what it counts is the allocations of its whole process.

mod altered;
mod properties;
mod replay;
mod storage;
