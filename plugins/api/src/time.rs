//! Instants as sources write them, in milliseconds since 1970.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, de};

/// How a source writes an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// `2026-03-01T12:00:00Z`, with any offset.
    Rfc3339,
    /// `2026-03-01T12:00:00` or `2026-03-01 12:00:00`, meant in UTC.
    NaiveUtc,
    /// `2026-03-01`, meant as its first instant in UTC.
    Date,
    /// Seconds since 1970, with or without a fraction.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// `Sun, 01 Mar 2026 12:00:00 GMT`, as in HTTP, mail and RSS.
    HttpDate,
}

/// What is tried where nothing is said: formats that cannot be taken for another.
pub(crate) const ANY: &[Format] = &[Format::Rfc3339, Format::NaiveUtc, Format::Date, Format::HttpDate];

/// The instant that a text writes in one of these formats.
pub(crate) fn parse(text: &str, formats: &[Format]) -> Option<i64> {
    formats.iter().find_map(|format| format.parse(text.trim()))
}

impl Format {
    fn parse(self, text: &str) -> Option<i64> {
        match self {
            Self::Rfc3339 => DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis()),
            Self::NaiveUtc => ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
                .iter()
                .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
                .map(|at| at.and_utc().timestamp_millis()),
            Self::Date => {
                let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
                Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
            }
            Self::EpochS => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
                let whole_ms = whole.parse::<i64>().ok()?.checked_mul(1_000)?;
                whole_ms.checked_add(if whole.starts_with('-') { -ms } else { ms })
            }
            Self::EpochMs => text.parse().ok(),
            Self::HttpDate => DateTime::parse_from_rfc2822(text).ok().map(|at| at.timestamp_millis()),
        }
    }

    /// The instant in this format; `None` for one that no calendar has.
    pub(crate) fn write(self, ms: i64) -> Option<String> {
        let at = || DateTime::<Utc>::from_timestamp_millis(ms);
        Some(match self {
            Self::Rfc3339 => at()?.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::NaiveUtc => at()?.format("%Y-%m-%dT%H:%M:%S").to_string(),
            Self::Date => at()?.format("%Y-%m-%d").to_string(),
            Self::EpochS => ms.div_euclid(1_000).to_string(),
            Self::EpochMs => ms.to_string(),
            Self::HttpDate => at()?.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        })
    }
}

/// A span of time: `500ms`, `1s`, `10m`, `2h`, `1d`, or ISO 8601 (`PT10M`, `P1D`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) ms: u64,
}

impl Span {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let ms = match text.strip_prefix('P') {
            Some(iso) => iso_ms(iso)?,
            None => {
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let number: u64 = text.get(..digits)?.parse().ok()?;
                let unit = match text.get(digits..)?.trim() {
                    "ms" => 1,
                    "s" => 1_000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    "d" => 86_400_000,
                    _ => return None,
                };
                number.checked_mul(unit)?
            }
        };
        Some(Self { ms })
    }
}

fn iso_ms(text: &str) -> Option<u64> {
    let (mut sum, mut number, mut in_time) = (0_u64, String::new(), false);
    for c in text.chars() {
        let unit = match (c, in_time) {
            ('0'..='9', _) => {
                number.push(c);
                continue;
            }
            ('T', false) if number.is_empty() => {
                in_time = true;
                continue;
            }
            ('W', false) => 604_800_000,
            ('D', false) => 86_400_000,
            ('H', true) => 3_600_000,
            ('M', true) => 60_000,
            ('S', true) => 1_000,
            _ => return None,
        };
        sum = sum.checked_add(std::mem::take(&mut number).parse::<u64>().ok()?.checked_mul(unit)?)?;
    }
    (number.is_empty() && !text.is_empty() && !text.ends_with('T')).then_some(sum)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no span of time such as `1s` or `PT10M`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_772_366_400_000;

    #[test]
    fn every_format_reads_what_it_writes() {
        for format in [Format::Rfc3339, Format::NaiveUtc, Format::EpochS, Format::EpochMs, Format::HttpDate] {
            assert_eq!(format.parse(&format.write(NOON).unwrap()), Some(NOON), "{format:?}");
        }
        assert_eq!(Format::Date.parse(&Format::Date.write(NOON).unwrap()), Some(NOON - 12 * 3_600_000));
    }

    #[test]
    fn instants_are_read_as_sources_write_them() {
        assert_eq!(parse("2026-03-01T13:00:00+01:00", ANY), Some(NOON));
        assert_eq!(parse("2026-03-01 12:00:00", ANY), Some(NOON));
        assert_eq!(parse("Sun, 01 Mar 2026 12:00:00 GMT", ANY), Some(NOON));
        assert_eq!(parse("1772366400.250", &[Format::EpochS]), Some(NOON + 250));
        assert_eq!(parse("1772366400", ANY), None);
        assert_eq!(parse("soon", ANY), None);
        assert_eq!(Format::Rfc3339.write(i64::MAX), None);
    }

    #[test]
    fn spans_read_as_people_and_as_iso_8601_write_them() {
        for (text, ms) in [("500ms", 500), ("1s", 1_000), ("10m", 600_000), ("PT10M", 600_000), ("P1DT1H", 90_000_000)]
        {
            assert_eq!(Span::parse(text), Some(Span { ms }), "{text}");
        }
        for text in ["", "10", "P", "PT", "P1", "PT1", "1y", "P1M", "99999999999999999999d", "ä"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
