mod cases;
mod lake;
mod lateness;
mod random;
mod world;
