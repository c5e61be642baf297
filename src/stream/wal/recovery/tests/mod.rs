mod bench;
mod damage;
mod faults;
