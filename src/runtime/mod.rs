//! What every stage stands on: the byte budget, buckets of tokens, the clock, the disk, what a thread puts off until it
//! sleeps, the phases, the progress of a start, pauses between tries, signals to those who wait, and the tasks that must
//! be joined, and whose turn it is on a core.

pub mod backoff;
pub mod bucket;
pub mod budget;
pub mod clock;
pub mod crash_point;
pub mod disk;
pub mod pages;
pub mod paid_text;
pub mod park;
pub mod phases;
pub mod placement;
pub mod progress;
pub mod scratch_disk;
pub mod signal;
pub mod tasks;
pub mod turns;
