mod cases;
mod lake;
mod learning;
mod random;
mod world;
