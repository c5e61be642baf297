mod cases;
mod lake;
mod large;
mod random;
mod world;
