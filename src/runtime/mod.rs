//! What every stage stands on: the byte budget, the clock, and the tasks that must be joined.

pub mod budget;
pub mod clock;
