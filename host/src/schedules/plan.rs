//! A schedule that was understood: its slots, in time, and when each starts. croner computes those of cron expressions, daylight
//! saving included; intervals are elapsed time.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron, CronPattern,
    parser::{CronParser, Seconds},
};
use tributary_core::{
    Instant, SourceId,
    schedule::{Rhythm, Schedule, Scheduled, Start},
};

use super::InvalidSchedule;

/// No sensible expression is longer.
const LONGEST_CRON: usize = 256;
/// An expression that names more times a day than this is taken for an interval.
const MOST_TIMES: usize = 48;
/// Two slots are at least so far apart, in seconds.
pub const CLOSEST_S: i64 = 60;
/// And an interval is at most so long: ten years.
pub const LONGEST_S: i64 = 10 * 365 * 86_400;
/// Without a jitter of its own, a schedule's starts are spread over so many seconds, or a tenth of the time to its next slot.
const SPREAD_S: i64 = 60;
/// A jitter is at most so many seconds.
pub const WIDEST_S: i64 = 86_400;
/// A tick comes so late without anything having been missed.
const GRACE_S: i64 = 60;

/// The slots of one schedule.
#[derive(Debug)]
pub struct Plan {
    slots: Slots,
    jitter_s: Option<i64>,
    catch_up_s: i64,
    /// The source's share of the jitter, of 2^32.
    share: i64,
}

#[derive(Debug)]
enum Slots {
    /// Its occurrences are those of all of these.
    Cron(Vec<Cron>, Tz),
    Every {
        step: TimeDelta,
        anchor: Instant,
    },
}

/// What a tick does about a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The last slot that has come; those before it are made up for by the same run.
    pub slot: Instant,
    /// It was missed longer ago than the catch-up window: no run.
    pub missed: bool,
    /// What comes next.
    pub next: Option<Start>,
}

impl Plan {
    /// Understands a schedule. Its intervals count from `anchor`.
    pub fn new(schedule: &Schedule, source: SourceId, anchor: Instant) -> Result<Self, InvalidSchedule> {
        let slots = match &schedule.rhythm {
            Rhythm::Cron { expression, timezone } => Slots::Cron(named_times(parse(expression)?)?, zone(timezone)?),
            Rhythm::Every { seconds } => {
                if !(CLOSEST_S..=LONGEST_S).contains(seconds) {
                    return Err(InvalidSchedule::new("every", "an interval is at least 1m and at most ten years"));
                }
                Slots::Every { step: TimeDelta::seconds(*seconds), anchor }
            }
        };
        Ok(Self { slots, jitter_s: schedule.jitter_s, catch_up_s: schedule.catch_up_s, share: share(source) })
    }

    /// The plan of a schedule as the record has it.
    pub fn of(scheduled: &Scheduled, source: SourceId) -> Result<Self, InvalidSchedule> {
        Self::new(&scheduled.schedule, source, scheduled.anchor_at)
    }

    /// The plan of a schedule that somebody has just written: refuses one that never comes round, or too often.
    pub fn accept(schedule: &Schedule, source: SourceId, now: Instant) -> Result<Self, InvalidSchedule> {
        let plan = Self::new(schedule, source, now)?;
        let Rhythm::Cron { expression, .. } = &schedule.rhythm else { return Ok(plan) };
        let Some(first) = plan.slot_after(now) else {
            let message = format!("{expression:?} never comes to pass, such as 30 February");
            return Err(InvalidSchedule::new("cron", message));
        };
        // Only several seconds of one minute are too close. Of three slots, two are then in the same minute.
        let following = std::iter::successors(Some(first), |slot| plan.slot_after(*slot)).take(3).collect::<Vec<_>>();
        if following.windows(2).any(|pair| pair[1] - pair[0] < TimeDelta::seconds(CLOSEST_S)) {
            let message = format!(
                "{expression:?} comes more often than once a minute; name one second in the first field, or leave that field out"
            );
            return Err(InvalidSchedule::new("cron", message));
        }
        Ok(plan)
    }

    /// The first slot after a moment.
    pub fn slot_after(&self, after: Instant) -> Option<Instant> {
        match &self.slots {
            Slots::Cron(crons, zone) => {
                let after = after.with_timezone(zone);
                let next = crons.iter().filter_map(|cron| cron.find_next_occurrence(&after, false).ok()).min()?;
                Some(next.with_timezone(&Utc))
            }
            Slots::Every { step, anchor } => {
                let step_ms = step.num_milliseconds();
                let passed = (after - *anchor).num_milliseconds().div_euclid(step_ms);
                anchor.checked_add_signed(TimeDelta::try_milliseconds(passed.checked_add(1)?.checked_mul(step_ms)?)?)
            }
        }
    }

    /// The last slot at or before a moment.
    fn slot_until(&self, until: Instant) -> Option<Instant> {
        match &self.slots {
            Slots::Cron(crons, zone) => {
                let until = until.with_timezone(zone);
                let last = crons.iter().filter_map(|cron| cron.find_previous_occurrence(&until, true).ok()).max()?;
                Some(last.with_timezone(&Utc))
            }
            Slots::Every { step, .. } => self.slot_after(until)?.checked_sub_signed(*step),
        }
    }

    /// When a slot starts for this source: always before the next slot.
    pub fn start(&self, slot: Instant) -> Start {
        let gap_s = self.slot_after(slot).map_or(SPREAD_S, |next| (next - slot).num_seconds());
        let spread_s = self.jitter_s.unwrap_or_else(|| SPREAD_S.min(gap_s / 10)).clamp(0, gap_s.min(WIDEST_S));
        Start { slot, at: slot + TimeDelta::seconds((spread_s * self.share) >> 32) }
    }

    /// What comes first after a moment.
    pub fn next_after(&self, after: Instant) -> Option<Start> {
        self.slot_after(after).map(|slot| self.start(slot))
    }

    /// The starts after a moment, in order.
    pub fn upcoming(&self, after: Instant) -> impl Iterator<Item = Start> {
        std::iter::successors(self.next_after(after), |start| self.next_after(start.slot))
    }

    /// What to do at `now` about a slot that is due.
    pub fn turn(&self, due: Instant, now: Instant) -> Turn {
        // Not slot by slot from the one that is due: five hundred may have been missed. Two steps back, since the last slot may still wait
        // for its start, and looking back passes over a slot that a gap of the clock has moved.
        let back = |slot: Instant| self.slot_until(slot - TimeDelta::milliseconds(1));
        let mut slot = back(now).and_then(back).unwrap_or(due).max(due);
        while let Some(next) = self.next_after(slot).filter(|next| next.at <= now) {
            slot = next.slot;
        }
        let late = now - self.start(slot).at;
        let missed = late > TimeDelta::seconds(self.catch_up_s.max(GRACE_S));
        Turn { slot, missed, next: self.next_after(slot) }
    }

    /// A moment as the schedule's own clock shows it.
    pub fn local(&self, at: Instant) -> chrono::DateTime<chrono::FixedOffset> {
        match &self.slots {
            Slots::Cron(_, zone) => at.with_timezone(zone).fixed_offset(),
            Slots::Every { .. } => at.fixed_offset(),
        }
    }
}

/// The same for all schedules of a source, so that their slots keep their order. Ids are random in their last four bytes.
fn share(source: SourceId) -> i64 {
    let [.., a, b, c, d] = *source.0.as_bytes();
    i64::from(u32::from_be_bytes([a, b, c, d]))
}

fn zone(name: &str) -> Result<Tz, InvalidSchedule> {
    name.parse().map_err(|_| {
        let shown: String = name.chars().take(64).collect();
        let message = format!("{shown:?} is not an IANA time zone; write it as in Europe/Berlin or UTC");
        InvalidSchedule::new("timezone", message)
    })
}

fn parse(expression: &str) -> Result<Cron, InvalidSchedule> {
    let invalid = |message: String| InvalidSchedule::new("cron", message);
    let fields = expression.split_whitespace().count();
    if !(5..=6).contains(&fields) && !expression.trim_start().starts_with('@') {
        let hint =
            "a cron expression has 5 fields (minute hour day month weekday), or 6 with seconds first, as in 0 3 * * *";
        return Err(invalid(format!("this one has {fields} fields; {hint}")));
    }
    if expression.len() > LONGEST_CRON {
        let message = "a cron expression has at most";
        return Err(invalid(format!("{message} {LONGEST_CRON} characters, this one has {}", expression.len())));
    }
    CronParser::builder()
        .seconds(Seconds::Optional)
        .build()
        .parse(expression)
        .map_err(|error| invalid(format!("{expression:?} is not a cron expression: {error}")))
}

/// An expression that names its times of the day, such as `30 1,2 * * *`, as one for each of them: croner carries a single time over a gap
/// of the clock and lets it come once in a repeated hour, but takes several for an interval, which it skips or repeats. As in Vixie cron,
/// only a wildcard in minutes or hours makes an interval (crontab(5), Debian).
fn named_times(cron: Cron) -> Result<Vec<Cron>, InvalidSchedule> {
    let CronPattern { seconds, minutes, hours, .. } = &cron.pattern;
    let fields = [seconds, minutes, hours];
    let times: usize = fields.iter().map(|field| field.values().len()).product();
    if fields.iter().any(|field| field.from_wildcard) || !(2..=MOST_TIMES).contains(&times) {
        return Ok(vec![cron]);
    }
    let text = cron.pattern.to_string();
    let days =
        text.split_whitespace().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" ");
    let [seconds, minutes, hours] = fields.map(|field| field.values());
    let mut crons = Vec::with_capacity(times);
    for hour in &hours {
        for minute in &minutes {
            for second in &seconds {
                crons.push(parse(&format!("{second} {minute} {hour} {days}"))?);
            }
        }
    }
    Ok(crons)
}

/// `15m`, `2h`, `1d` and the like, in whole seconds.
pub(super) fn duration_s(field: &'static str, text: &str) -> Result<i64, InvalidSchedule> {
    let invalid = || {
        let shown: String = text.chars().take(64).collect();
        InvalidSchedule::new(field, format!("{shown:?} is not a length of time; write it as in 15m, 2h or 1d"))
    };
    if text.len() > 64 {
        return Err(invalid());
    }
    let duration: Duration = humantime::parse_duration(text).map_err(|_| invalid())?;
    if duration.subsec_nanos() != 0 {
        return Err(InvalidSchedule::new(field, format!("{text:?} is not in whole seconds")));
    }
    i64::try_from(duration.as_secs()).map_err(|_| invalid())
}

/// The shortest way to write so many seconds: `15m`, `36h`, `1d`.
pub fn in_words(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    match units.into_iter().find(|(unit, _)| seconds != 0 && seconds % unit == 0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::SecondsFormat;
    use tributary_core::schedule::ScheduleKind;
    use uuid::Uuid;

    use super::*;
    use crate::schedules::Draft;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    /// A source whose share of the jitter is so many 256ths.
    fn source(share: u8) -> SourceId {
        SourceId(Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, share, 0, 0, 0]))
    }

    fn cron(cron: &str, timezone: &str) -> Draft {
        Draft { cron: Some(cron.to_owned()), timezone: Some(timezone.to_owned()), ..Draft::default() }
    }

    fn every(every: &str) -> Draft {
        Draft { every: Some(every.to_owned()), ..Draft::default() }
    }

    fn plan(draft: Draft, share: u8, anchor: &str) -> Result<Plan, InvalidSchedule> {
        Plan::accept(&draft.read(ScheduleKind::Sync)?, source(share), at(anchor))
    }

    fn slots(draft: Draft, after: &str, count: usize) -> Vec<String> {
        let plan = plan(draft, 0, after).unwrap();
        plan.upcoming(at(after)).take(count).map(|it| it.slot.to_rfc3339_opts(SecondsFormat::Secs, true)).collect()
    }

    #[test]
    fn three_in_the_morning_follows_the_zone_over_daylight_saving() {
        let berlin = slots(cron("0 3 * * *", "Europe/Berlin"), "2026-03-27T12:00:00Z", 3);
        assert_eq!(berlin, ["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]);
        let york = slots(cron("0 3 * * *", "America/New_York"), "2026-10-31T12:00:00Z", 2);
        assert_eq!(york, ["2026-11-01T08:00:00Z", "2026-11-02T08:00:00Z"]);
    }

    #[test]
    fn a_time_in_the_gap_runs_at_the_first_valid_instant() {
        // 02:30 does not exist in Berlin on 29 March 2026: clocks go from 02:00 to 03:00.
        let berlin = slots(cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", 2);
        assert_eq!(berlin, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        // On Lord Howe Island the gap is half an hour: from 02:00 to 02:30 on 4 October 2026.
        let howe = slots(cron("15 2 * * *", "Australia/Lord_Howe"), "2026-10-03T00:00:00Z", 2);
        assert_eq!(howe, ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    }

    #[test]
    fn several_named_times_are_each_carried_over_a_gap_and_come_once() {
        let spring = slots(cron("30 1,2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", 3);
        assert_eq!(spring, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T23:30:00Z"]);
        let autumn = slots(cron("30 1-2 * * SUN", "Europe/Berlin"), "2026-10-24T12:00:00Z", 3);
        assert_eq!(autumn, ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-11-01T00:30:00Z"]);
    }

    #[test]
    fn a_repeated_time_runs_once() {
        // 02:30 happens twice in Berlin on 25 October 2026.
        let berlin = slots(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z", 2);
        assert_eq!(berlin, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        // And 01:30 in New York on 1 November 2026.
        let york = slots(cron("30 1 * * *", "America/New_York"), "2026-10-31T12:00:00Z", 2);
        assert_eq!(york, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    }

    #[test]
    fn an_interval_is_elapsed_time_through_every_change_of_clocks() {
        let daily = slots(every("1d"), "2026-10-24T10:00:00Z", 3);
        assert_eq!(daily, ["2026-10-25T10:00:00Z", "2026-10-26T10:00:00Z", "2026-10-27T10:00:00Z"]);
        let quarters = slots(every("15m"), "2026-03-29T00:40:00Z", 3);
        assert_eq!(quarters, ["2026-03-29T00:55:00Z", "2026-03-29T01:10:00Z", "2026-03-29T01:25:00Z"]);
        // Half hours of the wall clock do not stand still while an hour is repeated.
        let half = slots(cron("*/30 * * * *", "Europe/Berlin"), "2026-10-24T23:59:00Z", 5);
        assert_eq!(
            half[..4],
            ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
        );
    }

    #[test]
    fn what_was_missed_is_one_slot_and_too_long_ago_is_none() {
        let nightly = plan(cron("0 3 * * *", "UTC"), 0, "2026-11-20T12:00:00Z").unwrap();
        let turn = nightly.turn(at("2026-11-21T03:00:00Z"), at("2026-11-24T09:00:00Z"));
        assert_eq!((turn.slot, turn.missed), (at("2026-11-24T03:00:00Z"), false));
        assert_eq!(turn.next.unwrap().slot, at("2026-11-25T03:00:00Z"));

        let weekly = plan(cron("0 3 * * MON", "UTC"), 0, "2026-11-20T12:00:00Z").unwrap();
        let turn = weekly.turn(at("2026-11-23T03:00:00Z"), at("2026-11-24T09:00:00Z"));
        assert_eq!((turn.slot, turn.missed), (at("2026-11-23T03:00:00Z"), true));
        assert_eq!(turn.next.unwrap().slot, at("2026-11-30T03:00:00Z"));
    }

    #[test]
    fn a_slot_in_the_gap_that_was_missed_is_found_again() {
        let nightly = plan(cron("30 2 * * *", "Europe/Berlin"), 0, "2026-03-26T12:00:00Z").unwrap();
        let turn = nightly.turn(at("2026-03-27T01:30:00Z"), at("2026-03-29T01:00:05Z"));
        assert_eq!((turn.slot, turn.missed), (at("2026-03-29T01:00:00Z"), false));
    }

    #[test]
    fn starts_are_spread_by_source_and_stay_before_the_next_slot() {
        let jitter = |jitter: &str| Draft { jitter: Some(jitter.to_owned()), ..cron("0 3 * * *", "UTC") };
        let start = |draft: Draft, share: u8| {
            plan(draft, share, "2026-11-20T12:00:00Z").unwrap().next_after(at("2026-11-20T12:00:00Z")).unwrap().at
        };
        let three = at("2026-11-21T03:00:00Z");
        assert_eq!(start(cron("0 3 * * *", "UTC"), 128), three + TimeDelta::seconds(30), "half of the default minute");
        assert_eq!(start(jitter("0s"), 128), three);
        assert_eq!(start(jitter("2h"), 64), three + TimeDelta::minutes(30));
        assert_eq!(start(jitter("2h"), 64), start(jitter("2h"), 64), "the same every day");
        let wide = Draft { jitter: Some("1d".to_owned()), ..every("15m") };
        let offset = start(wide, 255) - at("2026-11-20T12:15:00Z");
        assert!(offset > TimeDelta::minutes(14) && offset < TimeDelta::minutes(15), "{offset}");
    }

    #[test]
    fn a_slot_that_waits_for_its_start_is_not_fired_early() {
        let draft = Draft { jitter: Some("1h".to_owned()), ..every("1h") };
        let plan = plan(draft, 128, "2026-11-20T12:00:00Z").unwrap();
        // At 15:10 the slot of 15:00 starts at 15:30; the last that has started is that of 14:00.
        let turn = plan.turn(at("2026-11-20T13:00:00Z"), at("2026-11-20T15:10:00Z"));
        assert_eq!((turn.slot, turn.next.unwrap().slot), (at("2026-11-20T14:00:00Z"), at("2026-11-20T15:00:00Z")));
    }

    #[test]
    fn nonsense_is_named() {
        let refused = |draft: Draft| plan(draft, 0, "2026-01-01T00:00:00Z").unwrap_err();
        let expression = |text: &str| refused(cron(text, "UTC"));
        assert!(expression(&vec!["*"; 6_000].join(" ")).message.contains("6000 fields"));
        assert!(expression(&format!("{} * * * *", "1,".repeat(4_000))).message.contains("at most 256 characters"));
        assert_eq!(refused(cron("0 3 * * *", "Europe/Berlinn")).field, "timezone");
        assert!(expression("61 3 * * *").message.contains("61 3 * * *"));
        assert!(expression("0 0 30 2 *").message.contains("never comes to pass"));
        for often in ["* * * * * *", "0,30 * * * * *", "59,0 59 23 * * *"] {
            assert!(expression(often).message.contains("once a minute"), "{often}");
        }
        assert_eq!(slots(cron("30 * * * * *", "UTC"), "2026-01-01T00:00:00Z", 1), ["2026-01-01T00:00:30Z"]);
        assert_eq!(slots(cron("@daily", "UTC"), "2026-01-01T00:00:00Z", 1), ["2026-01-02T00:00:00Z"]);
        for (text, field) in
            [("59s", "every"), ("0s", "every"), ("15 x", "every"), ("1500ms", "every"), ("-1h", "every")]
        {
            assert_eq!(refused(every(text)).field, field, "{text}");
        }
        assert_eq!(refused(every("20y")).field, "every");
        assert_eq!(refused(Draft::default()).field, "cron");
        assert_eq!(refused(Draft { every: Some("1h".to_owned()), ..cron("0 3 * * *", "UTC") }).field, "every");
        assert_eq!(refused(Draft { timezone: Some("UTC".to_owned()), ..every("1h") }).field, "timezone");
        assert_eq!(refused(Draft { catch_up: Some("soon".to_owned()), ..every("1h") }).field, "catch_up");
        assert_eq!(refused(Draft { jitter: Some("2d".to_owned()), ..every("1h") }).field, "jitter");
    }

    #[test]
    fn a_length_of_time_reads_as_it_is_written() {
        for text in ["90s", "15m", "36h", "1d", "0s"] {
            assert_eq!(in_words(duration_s("every", text).unwrap()), text);
        }
        assert_eq!(in_words(duration_s("every", "1h 30m").unwrap()), "90m");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(cron in "\\PC{0,300}", timezone in "\\PC{0,80}", every in "\\PC{0,80}", jitter in "\\PC{0,10}") {
            let now = at("2026-01-01T00:00:00Z");
            for (cron, every) in [(Some(cron.clone()), None), (None, Some(every))] {
                let timezone = cron.as_ref().map(|_| timezone.clone());
                let draft = Draft { cron, every, timezone, jitter: Some(jitter.clone()), ..Draft::default() };
                if let Ok(schedule) = draft.read(ScheduleKind::Sync) {
                    let _ = Plan::accept(&schedule, source(7), now);
                }
            }
        }

        /// Whenever it is looked, in whichever zone and season: slots go on, starts stay between them, and a turn takes the last that came.
        #[test]
        fn slots_and_starts_keep_their_order(
            minute in 0_u8..60, hour in 0_u8..24, day in 0_i64..730, second in 0_i64..86_400, missed in 0_usize..40,
            zone in proptest::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
            jitter in proptest::sample::select(vec!["0s", "90s", "5h", "1d"]), share: u8, hourly: bool,
        ) {
            let hour = if hourly { "*".to_owned() } else { hour.to_string() };
            let draft = Draft { jitter: Some(jitter.to_owned()), ..cron(&format!("{minute} {hour} * * *"), zone) };
            let after = at("2026-01-01T00:00:00Z") + TimeDelta::days(day) + TimeDelta::seconds(second);
            let plan = plan(draft, share, "2026-01-01T00:00:00Z").unwrap();
            let starts: Vec<_> = plan.upcoming(after).take(missed + 2).collect();
            proptest::prop_assert!(starts[0].slot > after);
            for pair in starts.windows(2) {
                proptest::prop_assert!(pair[0].slot <= pair[0].at && pair[0].at < pair[1].slot, "{pair:?}");
            }
            let turn = plan.turn(starts[0].slot, starts[missed].at);
            proptest::prop_assert_eq!((turn.slot, turn.missed, turn.next), (starts[missed].slot, false, Some(starts[missed + 1])));
        }
    }
}
