//! How things are put: times, amounts, names of states.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_core::{
    run::{RunKind, RunStatus, StageName, Trigger, WaitingFor},
    source::Health,
};

/// The time at the server; pages speak of it as distances, which are right in every time zone.
pub(super) type Now = DateTime<Utc>;

/// A moment: how long ago or how soon, and exactly when one points at it.
pub(super) fn when(now: Now, at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339()) title=(in_full(at)) { (distance(now, at)) } }
}

/// A moment, where nothing brings the page up to date.
pub(super) fn exactly(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (in_full(at)) } }
}

fn in_full(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn distance(now: Now, at: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    let size = seconds.abs();
    let amount = match size {
        0..5 => return "just now".to_owned(),
        5..60 => format!("{size} s"),
        60..3_600 => format!("{} min", size / 60),
        3_600..86_400 => format!("{} h", size / 3_600),
        86_400..2_592_000 => format!("{} d", size / 86_400),
        _ => return at.format("%Y-%m-%d").to_string(),
    };
    if seconds < 0 { format!("{amount} ago") } else { format!("in {amount}") }
}

/// So many milliseconds.
pub(super) fn duration(ms: i64) -> String {
    let s = ms / 1_000;
    match s {
        ..10 => format!("{:.1} s", ms as f64 / 1_000.0),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3_600, s / 60 % 60),
    }
}

/// So many bytes.
pub(super) fn size(bytes: i64) -> String {
    let (mut amount, mut units) = (bytes as f64, ["B", "KiB", "MiB", "GiB"].into_iter());
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if amount < 1_024.0 {
            break;
        }
        (amount, unit) = (amount / 1_024.0, next);
    }
    if unit == "B" { format!("{amount} B") } else { format!("{amount:.1} {unit}") }
}

/// A number people can read: 1,500.
pub(super) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

/// So many of something.
pub(super) fn count(of: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(of), if of == 1 { one } else { many })
}

/// A state as a word with a mark: colour never says it alone.
fn badge(tone: &str, mark: &str, word: &str) -> Markup {
    html! { span.badge.(tone) { span aria-hidden="true" { (mark) } " " (word) } }
}

pub(super) fn health(health: Health) -> Markup {
    match health {
        Health::Healthy => badge("good", "✓", "Healthy"),
        Health::Degraded => badge("warn", "!", "Degraded"),
        Health::Failing => badge("bad", "✕", "Failing"),
        Health::NeedsAttention => badge("bad", "?", "Needs attention"),
        Health::Paused => badge("calm", "‖", "Paused"),
    }
}

pub(super) fn status(status: RunStatus) -> Markup {
    match status {
        RunStatus::Queued => badge("calm", "…", "Queued"),
        RunStatus::Running => badge("busy", "▸", "Running"),
        RunStatus::Waiting => badge("calm", "‖", "Waiting"),
        RunStatus::Succeeded => badge("good", "✓", "Succeeded"),
        RunStatus::Partial => badge("warn", "!", "Partly done"),
        RunStatus::Failed => badge("bad", "✕", "Failed"),
        RunStatus::Cancelled => badge("calm", "–", "Cancelled"),
    }
}

pub(super) fn kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Sync => "Sync",
        RunKind::Full => "Full resync",
        RunKind::Push => "Push",
        RunKind::DryRun => "Dry run",
    }
}

pub(super) fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "by schedule",
        Trigger::Manual => "by hand",
        Trigger::Api => "on request",
        Trigger::Webhook => "by webhook",
    }
}

pub(super) fn stage(stage: StageName) -> &'static str {
    match stage {
        StageName::Pull => "reading the source",
        StageName::Extract => "turning files into text",
        StageName::Index => "committing a page",
    }
}

pub(super) fn waiting(reason: WaitingFor) -> &'static str {
    match reason {
        WaitingFor::Quota => "The source asked to slow down; it goes on",
        WaitingFor::Retry => "Something failed that is likely to pass; it is tried again",
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn moments_are_distances() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let put = |seconds| distance(now, now + TimeDelta::seconds(seconds));
        assert_eq!([put(0), put(-4), put(-59), put(-3_599)], ["just now", "just now", "59 s ago", "59 min ago"]);
        assert_eq!([put(60), put(7_300), put(200_000)], ["in 1 min", "in 2 h", "in 2 d"]);
        assert_eq!(put(-86_400 * 40), "2026-12-06");
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!([number(0), number(1_500), number(-1_234_567)], ["0", "1,500", "-1,234,567"]);
        assert_eq!([size(0), size(1_023), size(1_536), size(5 << 40)], ["0 B", "1023 B", "1.5 KiB", "5120.0 GiB"]);
        assert_eq!([duration(40), duration(61_000), duration(7_260_000)], ["0.0 s", "1 min 1 s", "2 h 1 min"]);
        assert_eq!(
            [count(1, "document", "documents"), count(2, "document", "documents")],
            ["1 document", "2 documents"]
        );
    }
}
