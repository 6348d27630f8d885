//! A table of figures, printed as they come; with `--json`, one JSON document at the end.

use std::time::Duration;

use serde_json::{Value, json};

use super::{flag, usage};

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(aim) => value >= aim,
            Self::AtMost(aim) => value <= aim,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(aim) => format!("aim ≥ {}", number(aim)),
            Self::AtMost(aim) => format!("aim ≤ {}", number(aim)),
        }
    }
}

/// The figures of one benchmark.
pub struct Report {
    bench: &'static str,
    conditions: Value,
    figures: Vec<Value>,
    json: bool,
}

impl Report {
    /// Says under what conditions the figures are taken.
    pub fn new(bench: &'static str) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (processor, load) = (usage::processor(), usage::load());
        let conditions =
            json!({ "cores": cores, "processor": processor, "load_before": load, "quick": flag("--quick") });
        let json = flag("--json");
        if !json {
            println!("\n{bench}: {cores} cores, {processor}, load {load:.1} before the start");
        }
        Self { bench, conditions, figures: Vec::new(), json }
    }

    /// A heading over the figures that follow.
    pub fn section(&self, title: &str) {
        if !self.json {
            println!("\n  {title}");
        }
    }

    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &str) {
        self.add(name.into(), value, unit, None);
    }

    pub fn aimed(&mut self, name: impl Into<String>, value: f64, unit: &str, aim: Aim) {
        self.add(name.into(), value, unit, Some(aim));
    }

    fn add(&mut self, name: String, value: f64, unit: &str, aim: Option<Aim>) {
        if !self.json {
            let judged = aim.map_or_else(String::new, |aim| {
                format!("   {} {}", aim.text(), if aim.met(value) { "✓" } else { "✗" })
            });
            println!("    {name:<58} {:>10} {unit}{judged}", number(value));
        }
        self.figures.push(json!({
            "name": name, "value": value, "unit": unit,
            "aim": aim.map(Aim::text), "met": aim.map(|aim| aim.met(value)),
        }));
    }

    /// Ends the table.
    pub fn finish(self) {
        let load = usage::load();
        if !self.json {
            println!("\n  load {load:.1} at the end\n");
            return;
        }
        let mut conditions = self.conditions;
        conditions["load_after"] = json!(load);
        println!("{}", json!({ "bench": self.bench, "conditions": conditions, "figures": self.figures }));
    }
}

/// Three significant digits, thousands apart.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    match value.abs() {
        large if large >= 1_000.0 => {
            let digits = format!("{:.0}", value.abs());
            let grouped: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            format!("{}{}", if value < 0.0 { "-" } else { "" }, grouped.join(","))
        }
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A time in microseconds.
pub fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The value below which this share (0 to 1) of the values lies.
pub fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// The one in the middle.
pub fn median(values: &[Duration]) -> Duration {
    percentile(values, 0.5)
}
