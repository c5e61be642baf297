//! Drawing as SVG text.

use std::fmt::Write;

use super::{Anchor, Canvas, Color, Label};

/// An SVG that grows.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
}

impl Svg {
    /// The whole element, to stand in a page.
    pub fn finish(self, size: (f64, f64), title: &str) -> String {
        let (width, height) = size;
        let title = escape(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" \
             font-size=\"12\">{}</svg>",
            self.body
        )
    }
}

fn hex(Color(red, green, blue): Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A text as it may stand in markup.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

// Writing to a string cannot fail.
impl Canvas for Svg {
    fn fill(&mut self, from: (f64, f64), to: (f64, f64), color: Color) {
        let (width, height) = (to.0 - from.0, to.1 - from.1);
        let _ = write!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"/>",
            from.0,
            from.1,
            hex(color)
        );
    }

    fn line(&mut self, points: &[(f64, f64)], width: f64, color: Color, is_dashed: bool) {
        let dashes = if is_dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let color = hex(color);
        let _ = write!(
            self.body,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes} \
             points=\""
        );
        for (x, y) in points {
            let _ = write!(self.body, "{x:.1},{y:.1} ");
        }
        self.body.push_str("\"/>");
    }

    fn text(&mut self, label: &Label<'_>) {
        let anchor = match label.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if label.is_title { " font-weight=\"600\" font-size=\"14\"" } else { "" };
        let _ = write!(
            self.body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{}\"{weight}>{}</text>",
            label.at.0,
            label.at.1,
            hex(label.color),
            escape(label.text)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_holds_cannot_become_markup() {
        let mut svg = Svg::default();
        let at = (1.0, 2.0);
        let text = "<script>&\"'";
        svg.text(&Label { at, anchor: Anchor::End, text, color: Color(1, 2, 255), is_title: false });
        let svg = svg.finish((10.0, 20.0), text);
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;&amp;&quot;&#39;</text>"));
        assert!(svg.contains("fill=\"#0102ff\"") && svg.starts_with("<svg ") && svg.ends_with("</svg>"));
    }
}
