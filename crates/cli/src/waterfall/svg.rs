//! The waterfall as a picture: SVG without scripts, fonts or files of its own.

use super::{Kind, Row, Waterfall, milliseconds};
use std::fmt::Write as _;
use std::time::Duration;

impl Waterfall {
    /// A picture that is readable on light and on dark pages, for it brings its own ground.
    pub(crate) fn svg(&self) -> String {
        let labels = self.rows.iter().map(|row| row.label.chars().count());
        let label_width = labels.max().unwrap_or(0) as f64 * MONO_WIDTH + 2.0 * MARGIN;
        let longest_note = self.rows.iter().map(|row| row.note.chars().count());
        let note_width = longest_note.max().unwrap_or(0).min(NOTE_CHARACTERS_MAX) as f64;
        let frame = Frame {
            left: label_width,
            bottom: HEADER_HEIGHT + self.rows.len() as f64 * ROW_HEIGHT,
            total: self.total,
        };
        let width = frame.left + CHART_WIDTH + note_width * SANS_WIDTH + 2.0 * MARGIN;
        let height = frame.bottom + FOOTER_HEIGHT;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        self.write_header(&mut svg);
        frame.write_axis(&mut svg);
        for (index, row) in self.rows.iter().enumerate() {
            frame.write_row(&mut svg, index, row);
        }
        self.write_decision(&mut svg, &frame);
        write_legend(&mut svg, frame.bottom + FOOTER_HEIGHT - MARGIN);
        svg.push_str("</svg>\n");
        svg
    }

    fn write_header(&self, svg: &mut String) {
        let title = escape(&self.title);
        let _ = writeln!(
            svg,
            "<title>portway: the race to {title}</title>\n\
             <text x=\"{MARGIN}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{title}</text>"
        );
        if let Some((at, words)) = &self.decision {
            let words = escape(&clip(words));
            let at = milliseconds(*at);
            let _ = writeln!(
                svg,
                "<text x=\"{MARGIN}\" y=\"44\" fill=\"#555\">{words} after {at}</text>"
            );
        }
    }

    fn write_decision(&self, svg: &mut String, frame: &Frame) {
        let Some((at, words)) = &self.decision else {
            return;
        };
        let x = frame.x(*at);
        let colour = match words.starts_with("won") {
            true => "#2e7d32",
            false => "#c0392b",
        };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{HEADER_HEIGHT}\" x2=\"{x:.1}\" y2=\"{:.1}\" \
             stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"4 3\"/>",
            frame.bottom
        );
    }
}

/// Where the chart lies in the picture.
struct Frame {
    left: f64,
    bottom: f64,
    total: Duration,
}

impl Frame {
    fn x(&self, at: Duration) -> f64 {
        let share = at.as_secs_f64() / self.total.as_secs_f64();
        self.left + share.min(1.0) * CHART_WIDTH
    }

    fn write_axis(&self, svg: &mut String) {
        let step = step(self.total);
        let mut tick = Duration::ZERO;
        while tick <= self.total {
            let x = self.x(tick);
            let words = milliseconds_of_axis(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{HEADER_HEIGHT}\" x2=\"{x:.1}\" y2=\"{:.1}\" \
                 stroke=\"#ddd\"/>\n\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\" \
                 font-size=\"11\">{words}</text>",
                self.bottom,
                HEADER_HEIGHT - 6.0
            );
            tick += step;
        }
    }

    fn write_row(&self, svg: &mut String, index: usize, row: &Row) {
        let top = HEADER_HEIGHT + index as f64 * ROW_HEIGHT;
        let base = top + ROW_HEIGHT / 2.0 + 4.0;
        if index % 2 == 1 {
            let _ = writeln!(
                svg,
                "<rect x=\"0\" y=\"{top:.1}\" width=\"100%\" height=\"{ROW_HEIGHT}\" \
                 fill=\"#000\" fill-opacity=\"0.03\"/>"
            );
        }
        let label = escape(&row.label);
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{base:.1}\" font-family=\"monospace\">{label}</text>"
        );
        let (first, second) = colours(row.kind);
        let (start, end) = (self.x(row.start), self.x(row.end));
        let turn = row.connected.map_or(end, |at| self.x(at)).clamp(start, end);
        write_bar(svg, (start, turn.max(start + BAR_WIDTH_MIN)), top, first);
        if row.connected.is_some() {
            write_bar(svg, (turn, end.max(turn + BAR_WIDTH_MIN)), top, second);
        }
        let note = escape(&clip(&row.note));
        let x = self.left + CHART_WIDTH + MARGIN;
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{base:.1}\" fill=\"#444\">{note}</text>"
        );
    }
}

fn write_bar(svg: &mut String, (start, end): (f64, f64), top: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" \
         fill=\"{colour}\"/>",
        top + 5.0,
        end - start,
        ROW_HEIGHT - 10.0
    );
}

fn write_legend(svg: &mut String, base: f64) {
    let entries = [
        (colours(Kind::Answered).0, "question to the resolver"),
        (colours(Kind::Won).0, "connecting"),
        (colours(Kind::Won).1, "handshake, won"),
        (colours(Kind::Failed).0, "failed"),
        (colours(Kind::GivenUp).0, "given up"),
    ];
    let mut x = MARGIN;
    for (colour, words) in entries {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\" \
             fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{base:.1}\" fill=\"#444\">{words}</text>",
            base - 10.0,
            x + 18.0
        );
        x += 18.0 + words.len() as f64 * SANS_WIDTH + 2.0 * MARGIN;
    }
}

/// The colours of the first and the second phase.
fn colours(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Answered => ("#6f9bd1", "#6f9bd1"),
        Kind::Won => ("#a5d6a7", "#2e7d32"),
        Kind::Unanswered | Kind::Failed => ("#e57368", "#a93226"),
        Kind::GivenUp | Kind::Running => ("#c4c4c4", "#8d8d8d"),
    }
}

/// A step of the axis that gives at most ten ticks: 1, 2 or 5 times a power of ten.
fn step(total: Duration) -> Duration {
    let mut step = Duration::from_nanos(100);
    loop {
        for factor in [1, 2, 5] {
            if step * factor * 10 >= total {
                return step * factor;
            }
        }
        step *= 10;
    }
}

fn milliseconds_of_axis(at: Duration) -> String {
    format!("{} ms", at.as_nanos() as f64 / 1e6)
}

fn clip(text: &str) -> String {
    match text.chars().count() > NOTE_CHARACTERS_MAX {
        true => text
            .chars()
            .take(NOTE_CHARACTERS_MAX - 1)
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 has no place for control characters, not even escaped.
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

const MARGIN: f64 = 14.0;
const HEADER_HEIGHT: f64 = 74.0;
const FOOTER_HEIGHT: f64 = 40.0;
const ROW_HEIGHT: f64 = 26.0;
const CHART_WIDTH: f64 = 520.0;
/// What a character takes at most, by experience with common fonts.
const MONO_WIDTH: f64 = 7.4;
const SANS_WIDTH: f64 = 6.6;
const BAR_WIDTH_MIN: f64 = 2.0;
const NOTE_CHARACTERS_MAX: usize = 80;
