//! One panel as SVG.

use std::fmt::Write as _;

use super::panel::{Kind, Line, Panel};
use super::terminal::escaped;

const GAP: f64 = 4.0;
const LEFT: f64 = 72.0;
const HEAD: f64 = 34.0;
const AXIS: f64 = 20.0;
const LEGEND: f64 = 16.0;
const COLORS: &[&str] = &[
    "#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#fa6400", "#c0d8ff", "#96d98d",
    "#ffcb7d", "#e0226e",
];

/// The panel with its lines, from the panel's upper left corner on.
pub(super) fn draw(panel: &Panel, lines: &[Line], time: (f64, f64)) -> String {
    let title = escaped(&panel.title);
    if panel.kind == Kind::Row {
        return format!(r#"<text x="10" y="{:.0}" class="t">▾ {title}</text>"#, panel.height - 10.0);
    }
    let (width, height) = (panel.width - 2.0 * GAP, panel.height - 2.0 * GAP);
    let mut out = format!(
        r##"<rect x="{GAP}" y="{GAP}" width="{width:.0}" height="{height:.0}" rx="3" fill="#181b1f" stroke="#2c3037"/><text x="{:.0}" y="24" class="t">{title}</text>"##,
        GAP + 10.0
    );
    match panel.kind {
        Kind::Stat => stat(&mut out, panel, lines),
        _ => graph(&mut out, panel, lines, time),
    }
    out
}

fn stat(out: &mut String, panel: &Panel, lines: &[Line]) {
    let last = lines.first().and_then(|line| Some((line.name.as_str(), line.points.last()?.1)));
    let (text, color) = match last {
        Some((name, value)) if panel.shows_name => (name.to_owned(), panel.color(value)),
        Some((_, value)) => (with_unit(value, &panel.unit), panel.color(value)),
        None => ("No data".to_owned(), "#9fa2ad"),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#"<text x="{:.0}" y="{:.0}" text-anchor="middle" style="font-size:38px;font-weight:500;fill:{color}">{}</text>"#,
        panel.width / 2.0,
        panel.height / 2.0 + 26.0,
        escaped(&text)
    );
}

fn graph(out: &mut String, panel: &Panel, lines: &[Line], (start, end): (f64, f64)) {
    let rows = legend_rows(panel, lines);
    let (left, right) = (GAP + LEFT, panel.width - GAP - 14.0);
    let (top, bottom) = (HEAD + 6.0, panel.height - GAP - AXIS - LEGEND * rows);
    let highest = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value).fold(0.0, f64::max);
    let (step, count) = ticks(highest);
    let most = step * f64::from(count);
    let x = |time: f64| left + (time - start) / (end - start) * (right - left);
    let y = |value: f64| bottom - value / most * (bottom - top);
    for tick in 0..=count {
        let value = step * f64::from(tick);
        let _ = write!(
            out,
            r##"<path d="M{left:.0} {at:.1}H{right:.0}" stroke="#2a2e35"/><text x="{:.0}" y="{:.1}" text-anchor="end" class="s">{}</text>"##,
            left - 6.0,
            y(value) + 4.0,
            with_unit(value, &panel.unit),
            at = y(value),
        );
    }
    let mut minute = 0.0;
    while start + minute * 60.0 < end {
        let at = x(start + minute * 60.0);
        let _ = write!(
            out,
            r##"<path d="M{at:.1} {top:.0}V{bottom:.0}" stroke="#22262c"/><text x="{at:.1}" y="{:.0}" text-anchor="middle" class="s">{minute:.0} min</text>"##,
            bottom + 15.0
        );
        minute += 1.0;
    }
    if lines.iter().all(|line| line.points.is_empty()) {
        let _ = write!(
            out,
            r#"<text x="{:.0}" y="{:.0}" text-anchor="middle" class="s">No data</text>"#,
            panel.width / 2.0,
            f64::midpoint(top, bottom)
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let mut path = String::new();
        let mut before = f64::NEG_INFINITY;
        for (time, value) in &line.points {
            // A gap in the data is a gap in the line.
            let command = if time - before > 12.0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", x(*time), y(*value));
            before = *time;
        }
        let _ = write!(
            out,
            r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"/>"#
        );
    }
    legend(out, panel, lines, bottom + AXIS + 12.0);
}

fn entry_width(name: &str) -> f64 {
    28.0 + 6.4 * f64::from(u16::try_from(name.chars().count()).unwrap_or(u16::MAX))
}

fn legend_rows(panel: &Panel, lines: &[Line]) -> f64 {
    let mut rows = 0.0;
    place(panel, lines, |_, _, row| rows = row + 1.0);
    rows
}

/// Says for each line where its name goes: index, x, row.
fn place(panel: &Panel, lines: &[Line], mut at: impl FnMut(usize, f64, f64)) {
    let (mut x, mut row) = (GAP + 10.0, 0.0);
    for (index, line) in lines.iter().enumerate() {
        let width = entry_width(&line.name);
        if x > GAP + 10.0 && x + width > panel.width - GAP {
            (x, row) = (GAP + 10.0, row + 1.0);
        }
        at(index, x, row);
        x += width;
    }
}

fn legend(out: &mut String, panel: &Panel, lines: &[Line], top: f64) {
    place(panel, lines, |index, x, row| {
        let y = top + row * LEGEND;
        let color = COLORS[index % COLORS.len()];
        let _ = write!(
            out,
            r#"<rect x="{x:.0}" y="{:.0}" width="13" height="3" rx="1" fill="{color}"/><text x="{:.0}" y="{y:.0}" class="s">{}</text>"#,
            y - 5.0,
            x + 18.0,
            escaped(&lines[index].name)
        );
    });
}

/// A round step and how many of them reach the highest value.
fn ticks(highest: f64) -> (f64, u32) {
    let rough = if highest > 0.0 { highest / 4.0 } else { 0.25 };
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|it| it * magnitude).find(|step| *step >= rough).unwrap_or(rough);
    let mut count = 1;
    while step * f64::from(count) < highest {
        count += 1;
    }
    (step, count)
}

/// As Grafana writes it.
fn with_unit(value: f64, unit: &str) -> String {
    let plain = |value: f64| {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match unit {
        "s" if value == 0.0 => "0 s".to_owned(),
        "s" if value < 0.001 => format!("{} µs", plain((value * 1e9).round() / 1e3)),
        "s" if value < 1.0 => format!("{} ms", plain(value * 1e3)),
        "s" if value < 120.0 => format!("{} s", plain(value)),
        "s" => format!("{} min", plain(value / 60.0)),
        "ops" => format!("{} ops/s", plain(value)),
        "reqps" => format!("{} req/s", plain(value)),
        _ => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps_that_reach_the_top() {
        for (highest, step, count) in [(0.0, 0.25, 1), (1.0, 0.25, 4), (37.0, 10.0, 4), (4.1, 2.0, 3)] {
            let (found, steps) = ticks(highest);
            assert!((found - step).abs() < 1e-9 && steps == count, "{highest}: {found} × {steps}");
        }
    }

    #[test]
    fn values_have_their_unit() {
        assert_eq!(with_unit(0.25, "s"), "250 ms");
        assert_eq!(with_unit(180.0, "s"), "3 min");
        assert_eq!(with_unit(2.0, "short"), "2");
        assert_eq!(with_unit(0.5, "reqps"), "0.5 req/s");
    }
}
