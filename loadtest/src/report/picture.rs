//! Plots → PNG, two in a row.

use std::io;

use crate::plot::bitmap::Bitmap;
use crate::plot::{Anchor, Canvas, Color, Label, Plot, draw, png};

/// Width and height of a plot.
pub const PLOT: (f64, f64) = (640.0, 280.0);

/// Plots in a row.
const COLUMNS: usize = 2;

/// Room around and between plots.
const GAP: f64 = 12.0;

/// Room for a heading.
const HEADING: f64 = 30.0;

/// Draws groups of plots under their headings.
pub fn picture(groups: &[(String, Vec<Plot>)]) -> io::Result<Vec<u8>> {
    let rows = |plots: &Vec<Plot>| plots.len().div_ceil(COLUMNS) as f64;
    let height: f64 = groups.iter().map(|(_, plots)| HEADING + rows(plots) * (PLOT.1 + GAP)).sum();
    let width = GAP + COLUMNS as f64 * (PLOT.0 + GAP);
    let mut bitmap = Bitmap::new(width as usize, (height + GAP) as usize);
    let mut top = 0.0;
    for (heading, plots) in groups {
        let at = (GAP + 4.0, top + 20.0);
        bitmap.text(&Label {
            at,
            anchor: Anchor::Start,
            text: heading,
            color: Color(0, 0, 0),
            is_title: true,
        });
        top += HEADING;
        for row in plots.chunks(COLUMNS) {
            for (column, plot) in row.iter().enumerate() {
                draw(plot, &mut bitmap, (GAP + column as f64 * (PLOT.0 + GAP), top), PLOT);
            }
            top += PLOT.1 + GAP;
        }
    }
    png::encode(&bitmap)
}
