mod cases;
mod lake;
mod large;
mod lateness;
mod random;
mod world;
