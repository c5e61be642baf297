mod cases;
mod lake;
mod large;
mod learning;
mod random;
mod world;
