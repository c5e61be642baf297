//! Drawing as pixels. Lines are smooth: a pixel takes as much of the colour as the line covers of it. Letters are the
//! fixed fonts of the X Window System, which are in the public domain and part of `embedded-graphics`.

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X12, FONT_7X14_BOLD};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTarget, Drawable};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

use super::{Anchor, Canvas, Color, Label};

/// Length of a dash and of the gap behind it, in pixels.
const DASH: (f64, f64) = (5.0, 4.0);

/// White pixels, to be drawn on.
#[derive(Debug)]
pub struct Bitmap {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel, row by row.
    rgb: Vec<u8>,
}

impl Bitmap {
    /// All white.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![255; width * height * 3] }
    }

    /// Its width, and its pixels row by row.
    pub fn rows(&self) -> (usize, &[u8]) {
        (self.width, &self.rgb)
    }

    fn blend(&mut self, x: i64, y: i64, color: Color, share: f64) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height || share <= 0.0 {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (old, new) in self.rgb[at..at + 3].iter_mut().zip([color.0, color.1, color.2]) {
            let share = share.min(1.0);
            *old = (f64::from(*old) * (1.0 - share) + f64::from(new) * share).round() as u8;
        }
    }

    /// Colours each pixel near the segment by how far its middle is from it.
    fn segment(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: Color) {
        let reach = width / 2.0 + 1.0;
        let columns = (from.0.min(to.0) - reach).floor() as i64..=(from.0.max(to.0) + reach).ceil() as i64;
        let (along_x, along_y) = (to.0 - from.0, to.1 - from.1);
        let length = (along_x * along_x + along_y * along_y).max(1e-12);
        for x in columns {
            for y in (from.1.min(to.1) - reach).floor() as i64..=(from.1.max(to.1) + reach).ceil() as i64 {
                let (px, py) = (x as f64 + 0.5 - from.0, y as f64 + 0.5 - from.1);
                let part = ((px * along_x + py * along_y) / length).clamp(0.0, 1.0);
                let (dx, dy) = (px - part * along_x, py - part * along_y);
                self.blend(x, y, color, width / 2.0 + 0.5 - (dx * dx + dy * dy).sqrt());
            }
        }
    }
}

/// Cuts a line into its dashes.
fn dashes(points: &[(f64, f64)]) -> Vec<[(f64, f64); 2]> {
    let mut dashes = Vec::new();
    let mut walked = 0.0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |part: f64| {
            let part = (part / length).min(1.0);
            (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
        };
        let mut done = 0.0;
        while done < length {
            let phase = walked % (DASH.0 + DASH.1);
            let is_dash = phase < DASH.0;
            let left = (if is_dash { DASH.0 - phase } else { DASH.0 + DASH.1 - phase }).max(1e-6);
            let next = (done + left).min(length);
            if is_dash {
                dashes.push([at(done), at(next)]);
            }
            walked += next - done;
            done = next;
        }
    }
    dashes
}

impl Canvas for Bitmap {
    fn fill(&mut self, from: (f64, f64), to: (f64, f64), color: Color) {
        for y in from.1.round() as i64..to.1.round() as i64 {
            for x in from.0.round() as i64..to.0.round() as i64 {
                self.blend(x, y, color, 1.0);
            }
        }
    }

    fn line(&mut self, points: &[(f64, f64)], width: f64, color: Color, is_dashed: bool) {
        // Grid lines lie on pixels and not between two.
        let is_straight = |pair: &[(f64, f64)]| pair[0].0 == pair[1].0 || pair[0].1 == pair[1].1;
        let sharp = |(x, y): (f64, f64)| (x.floor() + 0.5, y.floor() + 0.5);
        if is_dashed {
            dashes(points).into_iter().for_each(|[from, to]| self.segment(from, to, width, color));
            return;
        }
        for pair in points.windows(2) {
            match width <= 1.0 && is_straight(pair) {
                true => self.segment(sharp(pair[0]), sharp(pair[1]), width, color),
                false => self.segment(pair[0], pair[1], width, color),
            }
        }
    }

    fn text(&mut self, label: &Label<'_>) {
        let font = if label.is_title { &FONT_7X14_BOLD } else { &FONT_6X12 };
        let Color(red, green, blue) = label.color;
        let style = MonoTextStyle::new(font, Rgb888::new(red, green, blue));
        let alignment = match label.anchor {
            Anchor::Start => Alignment::Left,
            Anchor::Middle => Alignment::Center,
            Anchor::End => Alignment::Right,
        };
        let layout = TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Alphabetic).build();
        let at = Point::new(label.at.0.round() as i32, label.at.1.round() as i32);
        let Ok(_) = Text::with_text_style(label.text, at, style, layout).draw(self);
    }
}

impl OriginDimensions for Bitmap {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Bitmap {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            self.blend(at.x.into(), at.y.into(), Color(color.r(), color.g(), color.b()), 1.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Color = Color(0, 0, 0);

    fn dark(bitmap: &Bitmap) -> usize {
        bitmap.rgb.chunks(3).filter(|pixel| pixel[0] < 128).count()
    }

    #[test]
    fn a_line_covers_what_lies_under_it_and_nothing_else() {
        let mut bitmap = Bitmap::new(40, 20);
        bitmap.line(&[(5.0, 10.0), (35.0, 10.0)], 2.0, BLACK, false);
        assert!((58..=66).contains(&dark(&bitmap)), "{}", dark(&bitmap));
        assert!(bitmap.rgb[..40 * 3 * 7].iter().all(|&part| part == 255));
    }

    #[test]
    fn a_dashed_line_is_dark_for_five_pixels_of_nine() {
        let length: f64 = dashes(&[(0.0, 0.0), (50.0, 0.0), (50.0, 40.0)])
            .iter()
            .map(|[from, to]| (to.0 - from.0).abs() + (to.1 - from.1).abs())
            .sum();
        assert!((length - 50.0).abs() < 1e-3, "{length}");
    }

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut bitmap = Bitmap::new(10, 10);
        bitmap.line(&[(-50.0, -50.0), (-20.0, 70.0)], 2.0, BLACK, false);
        bitmap.fill((20.0, 20.0), (30.0, 30.0), BLACK);
        let at = (5.0, -40.0);
        bitmap.text(&Label { at, anchor: Anchor::Middle, text: "é", color: BLACK, is_title: true });
        assert_eq!(dark(&bitmap), 0);
        bitmap.text(&Label {
            at: (0.0, 9.0),
            anchor: Anchor::Start,
            text: "8",
            color: BLACK,
            is_title: false,
        });
        assert!(dark(&bitmap) > 5);
    }
}
