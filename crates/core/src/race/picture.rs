//! A report as an SVG picture: questions and attempts as bars on one time axis.
//!
//! Invariant: every text comes from names and failures that a peer may have chosen, so all of it
//! is escaped, and the height follows from the number of rows.

use super::report::Report;
use super::text::shortened;
use super::waterfall::{Row, Tone, millis, rows, verdict};
use std::fmt::Write;
use std::time::Duration;

impl Report {
    /// The waterfall as a picture, 1000 pixels wide.
    pub fn to_svg(&self) -> String {
        let (rows, span) = rows(self);
        let span = span.max(Duration::from_millis(1));
        let bottom = TOP + ROW * rows.len() as f64;
        let height = bottom + FOOT;
        let mut svg = String::new();
        svg.push_str(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" font-family=\"{FONT}\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        ));
        let title = shortened(&self.targets.join(", "), 90);
        text(
            &mut svg,
            (MARGIN, 26.0),
            "font-size=\"17\" font-weight=\"bold\"",
            &title,
        );
        text(
            &mut svg,
            (MARGIN, 47.0),
            "fill=\"#4a5568\"",
            &shortened(&verdict(self), 150),
        );
        axis(&mut svg, span, bottom);
        if let Some((at, _)) = &self.outcome {
            let x = position(*at - self.started, span);
            line(&mut svg, (x, TOP - 6.0), (x, bottom), "#1a202c", "4 3");
        }
        for (index, row) in rows.iter().enumerate() {
            draw(&mut svg, row, TOP + ROW * index as f64, span);
        }
        legend(&mut svg, bottom + 24.0);
        svg.push_str("</svg>\n");
        svg
    }
}

fn draw(svg: &mut String, row: &Row, top: f64, span: Duration) {
    let label = shortened(&row.label, LABEL_CHARS);
    let style = "text-anchor=\"end\" fill=\"#1a202c\"";
    text(svg, (LEFT - 10.0, top + 16.0), style, &label);
    let (start, end) = (position(row.start, span), position(row.end, span));
    let colour = colour(row.tone);
    let width = (end - start).max(3.0);
    rect(
        svg,
        (start, top + 5.0),
        (width, 14.0),
        colour,
        row.middle.map_or(1.0, |_| 0.45),
    );
    if let Some(middle) = row.middle {
        let middle = position(middle, span);
        let width = (start + width - middle).max(0.0);
        rect(svg, (middle, top + 5.0), (width, 14.0), colour, 1.0);
    }
    let length = row.end.saturating_sub(row.start);
    let note = format!("{} · {}", millis(length), row.note);
    text(
        svg,
        (RIGHT + 12.0, top + 16.0),
        "fill=\"#4a5568\" font-size=\"11\"",
        &shortened(&note, NOTE_CHARS),
    );
}

fn axis(svg: &mut String, span: Duration, bottom: f64) {
    let step = tick_step(span);
    for at in (0..=MOST_TICKS)
        .map(|tick| step * tick)
        .take_while(|at| *at <= span)
    {
        let x = position(at, span);
        line(svg, (x, TOP - 2.0), (x, bottom), "#e2e8f0", "none");
        let style = "text-anchor=\"middle\" fill=\"#718096\" font-size=\"11\"";
        text(svg, (x, TOP - 8.0), style, &millis(at));
    }
}

fn legend(svg: &mut String, y: f64) {
    let mut x = LEFT;
    let entries = [
        (Tone::Query, "question answered"),
        (Tone::Won, "won"),
        (Tone::Failed, "failed"),
        (Tone::Cancelled, "cancelled"),
        (Tone::Running, "unfinished"),
    ];
    for (tone, name) in entries {
        rect(svg, (x, y - 10.0), (12.0, 12.0), colour(tone), 1.0);
        text(
            svg,
            (x + 17.0, y),
            "fill=\"#4a5568\" font-size=\"11\"",
            name,
        );
        x += 36.0 + 6.5 * name.len() as f64;
    }
    let hint = "pale: before the peer answered";
    text(svg, (x, y), "fill=\"#718096\" font-size=\"11\"", hint);
}

/// A step of 1, 2 or 5 times a power of ten that gives at most [`MOST_TICKS`] after zero.
fn tick_step(span: Duration) -> Duration {
    let mut unit = Duration::from_micros(100);
    loop {
        for factor in [1, 2, 5] {
            let step = unit * factor;
            if span <= step * MOST_TICKS {
                return step;
            }
        }
        unit *= 10;
    }
}

fn position(at: Duration, span: Duration) -> f64 {
    LEFT + (RIGHT - LEFT) * (at.as_secs_f64() / span.as_secs_f64()).min(1.0)
}

fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Query => "#718096",
        Tone::Won => "#2f855a",
        Tone::Failed => "#c53030",
        Tone::Cancelled => "#d69e2e",
        Tone::Running => "#a0aec0",
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, content: &str) {
    push(
        svg,
        format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>"),
    );
    for character in content.chars() {
        match character {
            '&' => svg.push_str("&amp;"),
            '<' => svg.push_str("&lt;"),
            '>' => svg.push_str("&gt;"),
            '"' => svg.push_str("&quot;"),
            // XML 1.0 §2.2 has no control characters, not even escaped.
            control if control.is_control() => svg.push('\u{fffd}'),
            other => svg.push(other),
        }
    }
    svg.push_str("</text>\n");
}

fn rect(svg: &mut String, (x, y): (f64, f64), (w, h): (f64, f64), fill: &str, opacity: f64) {
    push(
        svg,
        format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"2\" \
             fill=\"{fill}\" fill-opacity=\"{opacity}\"/>\n"
        ),
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str, dash: &str) {
    push(
        svg,
        format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{stroke}\" stroke-dasharray=\"{dash}\"/>\n"
        ),
    );
}

fn push(svg: &mut String, piece: std::fmt::Arguments<'_>) {
    svg.write_fmt(piece)
        .expect("writing to a String never fails");
}

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 84.0;
const ROW: f64 = 24.0;
const FOOT: f64 = 44.0;
/// Where the time axis begins and ends.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 680.0;
const MOST_TICKS: u32 = 6;
const LABEL_CHARS: usize = 38;
const NOTE_CHARS: usize = 50;
const FONT: &str = "Helvetica, Arial, 'DejaVu Sans', sans-serif";
