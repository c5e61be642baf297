//! What every stage stands on: the byte budget, the clock, the disk, the phases, the progress of a start, pauses between
//! tries, and the tasks that must be joined.

pub mod backoff;
pub mod budget;
pub mod clock;
pub mod crash_point;
pub mod disk;
pub mod phases;
pub mod progress;
pub mod scratch_disk;
pub mod tasks;
