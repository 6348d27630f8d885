//! Decimal amounts as text, never as floating point.

/// Digits that an amount may have.
const MAX_DIGITS: usize = 38;

/// The amount that a text writes (`19.90`, `-3`, `1.5e3`), with the decimal point moved `scale` places to the left (`1990` with a
/// scale of 2 is `19.90`). `None` when it is no amount.
pub(crate) fn amount(text: &str, scale: u8) -> Option<String> {
    let text = text.trim();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i32>().ok().filter(|e| e.abs() <= MAX_DIGITS as i32)?)
        }
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Where the point stands, counted from the left of the digits.
    let point = whole.len() as i32 + exponent - i32::from(scale);
    let (whole, fraction) = if point <= 0 {
        (String::new(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize)))
    } else if point as usize >= digits.len() {
        (format!("{digits}{}", "0".repeat(point as usize - digits.len())), String::new())
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        (whole.to_owned(), fraction.to_owned())
    };
    if whole.len() + fraction.len() > MAX_DIGITS {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// An ISO 4217 code, as far as its shape tells.
pub(crate) fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        for (text, scale, expected) in [
            ("19.90", 0, Some("19.90")),
            ("19.9", 0, Some("19.9")),
            (" 0019 ", 0, Some("19")),
            ("-0.05", 0, Some("-0.05")),
            (".5", 0, Some("0.5")),
            ("1.5e3", 0, Some("1500")),
            ("15E-1", 0, Some("1.5")),
            ("1990", 2, Some("19.90")),
            ("5", 2, Some("0.05")),
            ("12345678901234567890.1234567890", 0, Some("12345678901234567890.1234567890")),
            ("", 0, None),
            (".", 0, None),
            ("19,90", 0, None),
            ("1 299", 0, None),
            ("N/A", 0, None),
            ("1e999999999", 0, None),
            ("1e38", 0, None),
            ("0x10", 0, None),
        ] {
            assert_eq!(amount(text, scale).as_deref(), expected, "{text}");
        }
    }
}
