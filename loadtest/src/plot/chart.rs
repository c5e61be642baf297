//! A plot → lines, areas and texts.

use super::scale::{Scale, short};
use super::{Anchor, Canvas, Color, Label};

/// Room for the numbers at the left.
const LEFT: f64 = 64.0;
/// Room at the right.
const RIGHT: f64 = 28.0;
/// Room for title and legend.
const TOP: f64 = 44.0;
/// Room for the numbers below.
const BOTTOM: f64 = 40.0;
/// Width of a letter of a label, at most; about, because fonts differ.
const LETTER_WIDTH: f64 = 7.0;

const INK: Color = Color(40, 40, 40);
const PALE: Color = Color(110, 110, 110);
const GRID: Color = Color(226, 226, 226);
const MARK: Color = Color(190, 30, 45);

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// From point to point.
    Line,
    /// The same, dashed.
    Dashed,
    /// A point for each value above 0, on a stem.
    Stems,
}

/// Values that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// Its colour.
    pub color: Color,
    /// How it is drawn.
    pub stroke: Stroke,
    /// Ascending by x; a missing y interrupts the line.
    pub points: Vec<(f64, Option<f64>)>,
}

/// What x means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XAxis {
    /// Seconds since the start.
    Seconds,
    /// A share of requests, with each further nine as wide as the one before.
    Share,
    /// Anything, from 0.
    Amount(&'static str),
}

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// The unit of y.
    pub unit: &'static str,
    /// What x means.
    pub x: XAxis,
    /// Whether each power of ten of y is as high as the one before.
    pub is_log: bool,
    /// What is drawn.
    pub series: Vec<Series>,
    /// Moments that are marked, on the axis of seconds.
    pub marks: Vec<(f64, String)>,
}

impl Plot {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.series.iter().flat_map(|series| &series.points).all(|(_, y)| y.is_none())
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.series.iter().flat_map(|series| &series.points).filter_map(|(_, y)| *y)
    }

    /// 90 % is one nine, 99 % are two; 0 % is none.
    fn x_of(&self, x: f64, end: f64) -> f64 {
        match self.x {
            XAxis::Share if x >= 1.0 => end,
            XAxis::Share => -(1.0 - x).log10(),
            XAxis::Seconds | XAxis::Amount(_) => x,
        }
    }

    fn x_scale(&self) -> (Scale, f64) {
        let all = self.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x);
        let marks = self.marks.iter().map(|(at, _)| *at);
        match self.x {
            XAxis::Share => {
                let nines = all.filter(|x| *x < 1.0).map(|x| -(1.0 - x).log10()).fold(1.0, f64::max);
                (Scale::exact(0.0, nines.ceil()), nines.ceil())
            }
            XAxis::Seconds => (Scale::exact(0.0, all.chain(marks).fold(1.0, f64::max)), 0.0),
            XAxis::Amount(_) => (Scale::linear(all), 0.0),
        }
    }

    fn x_ticks(&self, scale: &Scale, end: f64) -> Vec<(f64, String)> {
        match self.x {
            XAxis::Share => {
                let percent = |nines: i32| match nines {
                    0 => "0 %".to_owned(),
                    1 => "90 %".to_owned(),
                    2 => "99 %".to_owned(),
                    more => format!("99.{} %", "9".repeat(more as usize - 2)),
                };
                (0..=end as i32).map(|nines| (f64::from(nines), percent(nines))).collect()
            }
            XAxis::Seconds => scale.ticks().into_iter().map(|at| (at, short(at) + " s")).collect(),
            XAxis::Amount(_) => scale.ticks().into_iter().map(|at| (at, short(at))).collect(),
        }
    }
}

/// The place of a plot on its canvas, with its scales.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn x_at(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * (self.right - self.left)
    }

    fn y_at(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }
}

fn label(at: (f64, f64), anchor: Anchor, text: &str, color: Color) -> Label<'_> {
    Label { at, anchor, text, color, is_title: false }
}

/// Draws `plot` with its upper left corner at `at`.
pub fn draw(plot: &Plot, canvas: &mut dyn Canvas, at: (f64, f64), size: (f64, f64)) {
    let (x, end) = plot.x_scale();
    let y = if plot.is_log { Scale::log(plot.values()) } else { Scale::linear(plot.values()) };
    let (left, right) = (at.0 + LEFT, at.0 + size.0 - RIGHT);
    let frame = Frame { left, right, top: at.1 + TOP, bottom: at.1 + size.1 - BOTTOM, x, y };
    let title = format!("{} [{}]", plot.title, plot.unit);
    canvas.text(&Label { is_title: true, ..label((left, at.1 + 15.0), Anchor::Start, &title, INK) });
    draw_legend(plot, canvas, (left, at.1 + 33.0));
    for value in frame.y.ticks() {
        let y = frame.y_at(value);
        canvas.line(&[(left, y), (right, y)], 1.0, GRID, false);
        canvas.text(&label((left - 6.0, y + 4.0), Anchor::End, &short(value), PALE));
    }
    for (value, text) in plot.x_ticks(&frame.x, end) {
        let x = frame.x_at(value);
        canvas.line(&[(x, frame.top), (x, frame.bottom)], 1.0, GRID, false);
        canvas.text(&label((x, frame.bottom + 16.0), Anchor::Middle, &text, PALE));
    }
    if let XAxis::Amount(name) = plot.x {
        canvas.text(&label((right, frame.bottom + 32.0), Anchor::End, name, PALE));
    }
    let mut rows = Vec::new();
    for (at, text) in &plot.marks {
        let x = frame.x_at(*at);
        canvas.line(&[(x, frame.top), (x, frame.bottom)], 1.0, MARK, true);
        let anchor = if x > (left + right) / 2.0 { Anchor::End } else { Anchor::Start };
        let beside = if anchor == Anchor::End { x - 3.0 } else { x + 3.0 };
        let width = LETTER_WIDTH * text.chars().count() as f64;
        let begin = if anchor == Anchor::End { beside - width } else { beside };
        let row = free_row(&mut rows, begin, begin + width) as f64;
        canvas.text(&label((beside, frame.top + 11.0 + 12.0 * row), anchor, text, MARK));
    }
    for (index, series) in plot.series.iter().enumerate() {
        // What happened at the same time stands beside each other.
        let shift = if series.stroke == Stroke::Stems { 6.0 * index as f64 } else { 0.0 };
        let frame = Frame { left: frame.left + shift, right: frame.right + shift, ..frame };
        draw_series(plot, series, canvas, &frame, end);
    }
    canvas.line(&[(left, frame.top), (left, frame.bottom), (right, frame.bottom)], 1.0, PALE, false);
}

fn draw_legend(plot: &Plot, canvas: &mut dyn Canvas, at: (f64, f64)) {
    let mut x = at.0;
    for series in &plot.series {
        let dashed = series.stroke == Stroke::Dashed;
        canvas.line(&[(x, at.1 - 4.0), (x + 16.0, at.1 - 4.0)], 3.0, series.color, dashed);
        let text = Label {
            at: (x + 20.0, at.1),
            anchor: Anchor::Start,
            text: &series.name,
            color: INK,
            is_title: false,
        };
        canvas.text(&text);
        x += 36.0 + LETTER_WIDTH * series.name.chars().count() as f64;
    }
}

fn draw_series(plot: &Plot, series: &Series, canvas: &mut dyn Canvas, frame: &Frame, end: f64) {
    let places = |points: &[(f64, Option<f64>)]| -> Vec<(f64, f64)> {
        let place = |(x, y): &(f64, Option<f64>)| Some((frame.x_at(plot.x_of(*x, end)), frame.y_at((*y)?)));
        points.iter().filter_map(place).collect()
    };
    if series.stroke == Stroke::Stems {
        for (x, y) in places(&series.points).into_iter().filter(|(_, y)| *y < frame.bottom - 0.5) {
            canvas.line(&[(x, frame.bottom), (x, y)], 2.0, series.color, false);
            canvas.fill((x - 2.5, y - 2.5), (x + 2.5, y + 2.5), series.color);
        }
        return;
    }
    for run in series.points.split(|(_, y)| y.is_none()) {
        match places(run).as_slice() {
            [] => {}
            // A line of one point would not be seen.
            [(x, y)] => canvas.fill((x - 2.0, y - 2.0), (x + 2.0, y + 2.0), series.color),
            line => canvas.line(line, 1.8, series.color, series.stroke == Stroke::Dashed),
        }
    }
}

/// The first row where a text from `begin` to `end` covers no other; `rows` are the texts of each row.
fn free_row(rows: &mut Vec<Vec<(f64, f64)>>, begin: f64, end: f64) -> usize {
    let is_free = |row: &Vec<(f64, f64)>| row.iter().all(|(from, to)| end < *from || *to < begin);
    let row = rows.iter().position(is_free).unwrap_or(rows.len());
    if row == rows.len() {
        rows.push(Vec::new());
    }
    rows[row].push((begin, end));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_would_cover_each_other_stand_below_each_other() {
        let mut rows = Vec::new();
        let placed = [(0.0, 30.0), (10.0, 40.0), (20.0, 50.0), (41.0, 60.0), (100.0, 120.0)];
        let placed = placed.map(|(begin, end)| free_row(&mut rows, begin, end));
        assert_eq!(placed, [0, 1, 2, 0, 0]);
    }
}
