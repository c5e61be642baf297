mod lake;
mod random;
mod world;
