//! Plots, drawn as SVG for pages and as pixels for PNG by the same code.
//!
//! - [`scale`]: values → places, and which values get a tick;
//! - [`chart`]: a plot → lines, areas and texts on a [`Canvas`];
//! - [`svg`], [`bitmap`]: what can be drawn on; [`png`](mod@png): pixels → file.

pub mod bitmap;
pub mod chart;
pub mod png;
pub mod scale;
pub mod svg;

pub use chart::{Plot, Series, Stroke, XAxis, draw};

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// Colours of series, told apart also by most who see few colours (Okabe and Ito's set, without yellow).
pub const SERIES: [Color; 7] = [
    Color(0, 114, 178),
    Color(213, 94, 0),
    Color(0, 158, 115),
    Color(204, 121, 167),
    Color(86, 180, 233),
    Color(230, 159, 0),
    Color(90, 90, 90),
];

/// Where a text lies beside its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A text.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// Where it is; the base line of its letters.
    pub at: (f64, f64),
    /// How it lies beside that.
    pub anchor: Anchor,
    /// What it says.
    pub text: &'a str,
    /// Its colour.
    pub color: Color,
    /// Whether it is a title.
    pub is_title: bool,
}

/// Something to draw on. Pixels, from the upper left corner.
pub trait Canvas {
    /// Fills a rectangle.
    fn fill(&mut self, from: (f64, f64), to: (f64, f64), color: Color);
    /// A line through all points; dashed, if it is.
    fn line(&mut self, points: &[(f64, f64)], width: f64, color: Color, is_dashed: bool);
    /// A text.
    fn text(&mut self, label: &Label<'_>);
}
