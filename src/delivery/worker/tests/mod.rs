mod cases;
mod lake;
mod random;
mod world;
