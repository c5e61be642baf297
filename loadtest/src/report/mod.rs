//! `forebay-load report`: records of runs → a page and a picture.
//!
//! - [`plots`]: a record → plots;
//! - [`page`]: plots and tables → one HTML file that needs nothing else;
//! - [`picture`]: plots → PNG.

pub mod page;
pub mod picture;
pub mod plots;
