mod cases;
mod lake;
mod large;
mod lateness;
mod learning;
mod random;
mod stopping;
mod world;
