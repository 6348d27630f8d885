//! A policy: how much may be used in which window.

use std::borrow::Cow;

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime};
use tributary_core::Instant;

/// The largest quota and the most that is counted: the largest integer of a structured field (RFC 9651, section 3.3.1),
/// and exact in the doubles that Redis computes with.
pub const LARGEST: u64 = 999_999_999_999_999;

/// How much one key may use in one window. Policies are told apart by their name: a key has one counter for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What clients see, such as `burst`.
    pub name: Cow<'static, str>,
    /// Units a window, at most [`LARGEST`].
    pub quota: u64,
    /// When it starts anew.
    pub window: Window,
}

/// The span in which a quota is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// So many seconds from a key's first charge; at least one.
    Seconds(u32),
    /// A day, UTC.
    Day,
    /// A month, UTC.
    Month,
}

impl Policy {
    /// A policy with a name that is known beforehand.
    pub const fn new(name: &'static str, quota: u64, window: Window) -> Self {
        Self { name: Cow::Borrowed(name), quota, window }
    }
}

impl Window {
    /// The end of a window whose first charge is at `now`, in milliseconds of the Unix epoch.
    pub(super) fn end_ms(self, now: Instant) -> i64 {
        let date = now.date_naive();
        match self {
            Self::Seconds(seconds) => now.timestamp_millis() + i64::from(seconds.max(1)) * 1_000,
            Self::Day => midnight_ms(date.checked_add_days(Days::new(1))),
            Self::Month => midnight_ms(first_of_month(date).checked_add_months(Months::new(1))),
        }
    }

    /// Its length in seconds; for a month, that of the month of `now`.
    pub(super) fn length_s(self, now: Instant) -> u64 {
        const DAY: u64 = 86_400;
        match self {
            Self::Seconds(seconds) => seconds.max(1).into(),
            Self::Day => DAY,
            Self::Month => u64::from(first_of_month(now.date_naive()).num_days_in_month()) * DAY,
        }
    }
}

fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
}

/// `None` is past the last date there is.
fn midnight_ms(date: Option<NaiveDate>) -> i64 {
    date.unwrap_or(NaiveDate::MAX).and_time(NaiveTime::MIN).and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn end(window: Window, now: &str) -> Instant {
        Instant::from_timestamp_millis(window.end_ms(at(now))).unwrap()
    }

    #[test]
    fn calendar_windows_end_at_midnight_utc_and_with_the_month() {
        assert_eq!(end(Window::Seconds(60), "2028-02-29T23:59:59.5Z"), at("2028-03-01T00:00:59.5Z"));
        assert_eq!(end(Window::Day, "2027-12-31T23:59:59.999Z"), at("2028-01-01T00:00:00Z"));
        assert_eq!(end(Window::Day, "2028-01-01T00:00:00Z"), at("2028-01-02T00:00:00Z"));
        assert_eq!(end(Window::Month, "2028-01-31T12:00:00Z"), at("2028-02-01T00:00:00Z"));
        assert_eq!(end(Window::Month, "2027-12-01T00:00:00Z"), at("2028-01-01T00:00:00Z"));
        assert_eq!(Window::Month.length_s(at("2028-02-10T00:00:00Z")), 29 * 86_400);
    }
}
