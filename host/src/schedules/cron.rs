//! Cron expressions in IANA time zones; croner does the arithmetic, daylight saving included.

use chrono::Utc;
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use tributary_core::{Instant, source::Schedule};

/// No sensible expression is longer.
const LONGEST_CRON: usize = 256;

/// Why a schedule cannot be used; `field` is `cron` or `timezone`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidSchedule {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

fn invalid(field: &'static str, message: String) -> InvalidSchedule {
    InvalidSchedule { field, message }
}

/// Checks a schedule and gives its first occurrence after `now`.
pub fn validate(schedule: &Schedule, now: Instant) -> Result<Instant, InvalidSchedule> {
    next_after(schedule, now)?
        .ok_or_else(|| invalid("cron", format!("{:?} never comes to pass, such as 30 February", schedule.cron)))
}

/// The first occurrence strictly after `now`, or `None` when there is none within croner's horizon.
pub fn next_after(schedule: &Schedule, now: Instant) -> Result<Option<Instant>, InvalidSchedule> {
    let zone = zone(&schedule.timezone)?;
    let cron = parse(&schedule.cron)?;
    Ok(cron.find_next_occurrence(&now.with_timezone(&zone), false).ok().map(|next| next.with_timezone(&Utc)))
}

fn zone(name: &str) -> Result<Tz, InvalidSchedule> {
    name.parse().map_err(|_| {
        let shown: String = name.chars().take(64).collect();
        invalid("timezone", format!("{shown:?} is not an IANA time zone; write it as in Europe/Berlin or UTC"))
    })
}

fn parse(expression: &str) -> Result<Cron, InvalidSchedule> {
    let fields = expression.split_whitespace().count();
    if !(5..=6).contains(&fields) && !expression.trim_start().starts_with('@') {
        let hint =
            "a cron expression has 5 fields (minute hour day month weekday), or 6 with seconds first, as in 0 3 * * *";
        return Err(invalid("cron", format!("this one has {fields} fields; {hint}")));
    }
    if expression.len() > LONGEST_CRON {
        return Err(invalid(
            "cron",
            format!("a cron expression has at most {LONGEST_CRON} characters, this one has {}", expression.len()),
        ));
    }
    CronParser::builder()
        .seconds(Seconds::Optional)
        .build()
        .parse(expression)
        .map_err(|error| invalid("cron", format!("{expression:?} is not a cron expression: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, timezone: &str, after: &str) -> Option<String> {
        let schedule = Schedule { cron: cron.to_owned(), timezone: timezone.to_owned() };
        next_after(&schedule, after.parse().unwrap())
            .unwrap()
            .map(|next| next.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    #[test]
    fn three_in_the_morning_follows_the_zone_over_daylight_saving() {
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z").as_deref(), Some("2026-03-28T02:00:00Z"));
        assert_eq!(next("0 3 * * *", "Europe/Berlin", "2026-03-29T12:00:00Z").as_deref(), Some("2026-03-30T01:00:00Z"));
    }

    #[test]
    fn a_time_in_the_gap_runs_at_the_first_valid_instant() {
        // 02:30 does not exist in Berlin on 29 March 2026: clocks go from 02:00 to 03:00.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z").as_deref(),
            Some("2026-03-29T01:00:00Z")
        );
    }

    #[test]
    fn a_repeated_time_runs_once() {
        // 02:30 happens twice in Berlin on 25 October 2026.
        let first = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z").unwrap();
        let second = next("30 2 * * *", "Europe/Berlin", &first).unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"));
    }

    #[test]
    fn nonsense_is_named() {
        let check = |cron: &str, timezone: &str| {
            let schedule = Schedule { cron: cron.to_owned(), timezone: timezone.to_owned() };
            validate(&schedule, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap_err()
        };
        let six_thousand = vec!["*"; 6_000].join(" ");
        assert!(check(&six_thousand, "UTC").message.contains("6000 fields"));
        assert!(check(&format!("{} * * * *", "1,".repeat(4_000)), "UTC").message.contains("at most 256 characters"));
        assert_eq!(check("0 3 * * *", "Europe/Berlinn").field, "timezone");
        assert!(check("61 3 * * *", "UTC").message.contains("61 3 * * *"));
        assert!(check("0 0 30 2 *", "UTC").message.contains("never comes to pass"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(cron in "\\PC{0,300}", timezone in "\\PC{0,80}") {
            let _ = next_after(&Schedule { cron, timezone }, "2026-01-01T00:00:00Z".parse().unwrap());
        }
    }
}
