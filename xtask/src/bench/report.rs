//! The table and the plots.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::measure::{Phase, Usage};
use super::rig::{PAGE, SWEEP};

/// One run.
pub(super) struct Row {
    pub(super) objects: usize,
    pub(super) idle: Usage,
    pub(super) create: Phase,
    pub(super) steady: Phase,
    pub(super) restart: Phase,
    pub(super) first_call: Duration,
    pub(super) resyncs: Phase,
    pub(super) drift: Phase,
    pub(super) edit: Duration,
    pub(super) delete: Phase,
}

/// Sweeps in the steady phase, see the rig.
const STEADY_SWEEPS: f64 = 3.0;

impl Row {
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    fn per_object(&self, count: u64) -> f64 {
        count as f64 / self.objects as f64
    }

    /// Label and value of each line of the table.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    fn figures(&self) -> Vec<(&'static str, String)> {
        let calls = |phase: &Phase| format!("{:.3}", self.per_object(phase.total()));
        let per_reconcile = |phase: &Phase| format!("{:.2} ms", phase.cpu * 1000.0 / phase.reconciles.max(1.0));
        let share = |phase: &Phase| format!("{:.0} %", phase.cpu * 100.0 / phase.took.as_secs_f64());
        let sweep =
            || format!("{:.0}", self.steady.calls.get(SWEEP).copied().unwrap_or_default() as f64 / STEADY_SWEEPS);
        vec![
            ("IAM calls per pair, create", calls(&self.create)),
            (
                "IAM calls per pair, one steady sweep",
                format!("{:.3}", self.per_object(self.steady.total()) / STEADY_SWEEPS),
            ),
            ("calls of one steady sweep", sweep()),
            ("IAM calls per pair, restart in sync", calls(&self.restart)),
            ("IAM calls per pair, document drift everywhere", calls(&self.drift)),
            ("IAM calls per pair, delete", calls(&self.delete)),
            ("Kubernetes writes per pair, create", format!("{:.2}", self.per_object(self.create.kubernetes_writes()))),
            ("Kubernetes writes, steady", self.steady.kubernetes_writes().to_string()),
            ("time, create", seconds(self.create.took)),
            ("time, drift everywhere to repaired", seconds(self.drift.took)),
            ("time, one manual edit to repaired, default settings, worst moment", seconds(self.edit)),
            ("time, start of the process to its first call of IAM", seconds(self.first_call)),
            ("time, delete", seconds(self.delete.took)),
            ("share of one CPU while creating", share(&self.create)),
            ("CPU time per reconcile that finds everything in sync, by four reads", per_reconcile(&self.resyncs)),
            ("CPU time per reconcile that creates a pair", per_reconcile(&self.create)),
            ("CPU time per reconcile that repairs a document", per_reconcile(&self.drift)),
            ("CPU time of one steady sweep", format!("{:.2} s", self.steady.cpu / STEADY_SWEEPS)),
            ("resident memory, idle", mebibytes(self.idle.resident)),
            ("resident memory, steady", mebibytes(self.steady.usage.resident)),
            ("resident memory, after a restart", mebibytes(self.restart.usage.resident)),
            ("resident memory, peak of creating", mebibytes(self.create.usage.peak)),
        ]
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn mebibytes(memory: f64) -> String {
    format!("{memory:.1} MiB")
}

/// A Markdown table, one column a run.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from("| figure |");
    for row in rows {
        let _ = write!(text, " {} objects |", row.objects);
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(rows.len()));
    let columns: Vec<_> = rows.iter().map(Row::figures).collect();
    for line in 0..columns.first().map_or(0, Vec::len) {
        let _ = write!(text, "\n| {} |", columns[0][line].0);
        for column in &columns {
            let _ = write!(text, " {} |", column[line].1);
        }
    }
    text.push('\n');
    text
}

/// Writes `benchmarks-table.md` and the plots into `docs/`.
pub(super) fn write(docs: &Path, rows: &[Row]) -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    let heading = format!(
        "<!-- Written by `cargo xtask bench --write`. -->\nMeasured on {cores} cores; the model of IAM serves pages of {PAGE} in the \
         same machine.\n\n"
    );
    std::fs::write(docs.join("benchmarks-table.md"), heading + &table(rows))?;
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    let plot = |title: &str, value: fn(&Row) -> f64| {
        svg(title, &rows.iter().map(|row| (row.objects as f64, value(row))).collect::<Vec<_>>())
    };
    std::fs::write(
        docs.join("benchmarks-create.svg"),
        plot("seconds to create N pairs", |row| row.create.took.as_secs_f64()),
    )?;
    std::fs::write(
        docs.join("benchmarks-memory.svg"),
        plot("resident MiB with N objects, steady", |row| row.steady.usage.resident),
    )?;
    Ok(())
}

/// A line over N, both axes logarithmic, with the values written beside the points.
fn svg(title: &str, points: &[(f64, f64)]) -> String {
    let (width, height, margin) = (480.0, 280.0, 50.0);
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.log10(), y.max(0.01).log10())).collect();
    let bounds = |values: Vec<f64>| {
        let (low, high) =
            values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
        (low.floor(), high.ceil().max(low.floor() + 1.0))
    };
    let (x, y) =
        (bounds(logs.iter().map(|point| point.0).collect()), bounds(logs.iter().map(|point| point.1).collect()));
    let place = |point: &(f64, f64)| {
        let across = margin + (point.0 - x.0) / (x.1 - x.0) * (width - 2.0 * margin);
        let up = height - margin - (point.1 - y.0) / (y.1 - y.0) * (height - 2.0 * margin);
        (across, up)
    };
    let line: Vec<String> = logs.iter().map(place).map(|(across, up)| format!("{across:.1},{up:.1}")).collect();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{margin}\" y=\"24\" font-size=\"14\">{title}</text>\n\
         <path d=\"M{margin} {margin}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>\n",
        line.join(" "),
        bottom = height - margin,
        right = width - margin,
    );
    for (point, log) in points.iter().zip(&logs) {
        let (across, up) = place(log);
        let _ = writeln!(text, "<circle cx=\"{across:.1}\" cy=\"{up:.1}\" r=\"4\" fill=\"#06c\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.1}</text>",
            up - 10.0,
            point.1
        );
        let _ = writeln!(
            text,
            "<text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height - margin + 18.0,
            point.0
        );
    }
    text.push_str("</svg>\n");
    text
}
