//! Captured lines as a terminal that plays in any browser: an SVG with CSS animations and no script.
//!
//! Without animations (a printer, a converter) it shows the end of the run.

use std::fmt::Write as _;

const COLUMNS: usize = 118;
const ROWS: usize = 30;
const LINE: f64 = 17.0;
const CHARACTER: f64 = 7.83;
const MARGIN: f64 = 16.0;
const BAR: f64 = 34.0;
/// Lines that came at once are shown one after the other, to be read; longer waits are cut.
const SHORTEST: f64 = 0.09;
const LONGEST: f64 = 1.6;
/// How long the end stands before it begins again.
const HOLD: f64 = 6.0;

/// The picture of a command and the lines that came, with the seconds after which they did.
pub(super) fn svg(command: &str, lines: &[(f64, String)]) -> String {
    let mut shown = vec![(0.6, format!("$ {command}"))];
    let mut before = 0.0;
    for (came, line) in lines {
        let last = shown.last().map_or(0.0, |(at, _)| *at);
        shown.push((last + (came - before).clamp(SHORTEST, LONGEST), line.clone()));
        before = *came;
    }
    let total = shown.last().map_or(0.0, |(at, _)| *at) + HOLD;
    let (width, height) = (CHARACTER * count(COLUMNS) + 2.0 * MARGIN, LINE * count(ROWS) + BAR + 2.0 * MARGIN);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="A run of {command} in a terminal">
<style>
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d6dbe5; white-space: pre; }}
.d {{ fill: #7d8799; }} .g {{ fill: #7fd08a; }} .b {{ fill: #82b1ff; }} .p {{ fill: #ffffff; font-weight: bold; }}
{keyframes}</style>
<rect width="100%" height="100%" rx="9" fill="#171b24" stroke="#3a4152"/>
<circle cx="20" cy="17" r="6" fill="#ec6a5e"/><circle cx="40" cy="17" r="6" fill="#f4bf4f"/><circle cx="60" cy="17" r="6" fill="#61c554"/>
<text x="50%" y="22" text-anchor="middle" class="d">{command}</text>
<clipPath id="screen"><rect x="0" y="{BAR}" width="{width:.0}" height="{:.0}"/></clipPath>
<g clip-path="url(#screen)"><g class="scroll" xml:space="preserve">
"##,
        height - BAR - 6.0,
        keyframes = keyframes(&shown, total),
    );
    for (index, (_, line)) in shown.iter().enumerate() {
        let y = BAR + MARGIN + LINE * count(index) + 6.0;
        let _ = writeln!(out, r#"<text x="{MARGIN}" y="{y:.0}" class="l{index}">{}</text>"#, colored(&cut(line)));
    }
    out.push_str("</g></g>\n</svg>\n");
    out
}

/// Scrolls when a line comes below the screen, and uncovers each line when it came.
fn keyframes(shown: &[(f64, String)], total: f64) -> String {
    let percent = |at: f64| at / total * 100.0;
    let mut out = String::from("@keyframes scroll { 0% { transform: translateY(0) } ");
    let mut end = 0.0;
    for (index, (at, _)) in shown.iter().enumerate().skip(ROWS) {
        end = LINE * count(index + 1 - ROWS);
        let _ = write!(out, "{:.3}% {{ transform: translateY(-{end:.0}px) }} ", percent(*at));
    }
    let _ = writeln!(out, "100% {{ transform: translateY(-{end:.0}px) }} }}");
    let _ = writeln!(
        out,
        ".scroll {{ transform: translateY(-{end:.0}px); animation: scroll {total:.1}s step-end infinite; }}"
    );
    for (index, (at, _)) in shown.iter().enumerate() {
        let at = percent(*at);
        let _ = writeln!(
            out,
            "@keyframes l{index} {{ 0% {{ opacity: 0 }} {at:.3}% {{ opacity: 1 }} }} .l{index} {{ animation: l{index} {total:.1}s step-end infinite; }}"
        );
    }
    out
}

fn cut(line: &str) -> String {
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    line.chars().take(COLUMNS - 1).chain(['…']).collect()
}

/// Highlights times, headings and results.
fn colored(line: &str) -> String {
    let text = escaped(line);
    if line.starts_with("$ ") {
        return format!(r#"<tspan class="p">{text}</tspan>"#);
    }
    let text = match text.split_once("] ") {
        Some((time, rest)) if time.starts_with('[') => format!(r#"<tspan class="d">{time}]</tspan> {rest}"#),
        _ if line.starts_with("── ") => format!(r#"<tspan class="b">{text}</tspan>"#),
        _ => text,
    };
    ["Ready=True InSync", "are ready", "True    InSync"]
        .iter()
        .fold(text, |text, good| text.replace(good, &format!(r#"<tspan class="g">{good}</tspan>"#)))
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Small numbers of lines and columns.
#[allow(clippy::cast_precision_loss)]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_there_with_its_time() {
        let lines = [(0.5, "[  0.5 s] a <b>".to_owned()), (60.0, "Ready=True InSync".to_owned())];
        let svg = svg("x", &lines);
        assert!(svg.contains("a &lt;b&gt;") && svg.contains(r#"<tspan class="g">Ready=True InSync</tspan>"#), "{svg}");
        // 0.6 s to the prompt, 0.5 s, a wait that is cut, and the end.
        assert!(svg.contains("8.7s step-end infinite"), "{svg}");
    }
}
