//! `RateLimit-Policy` and `RateLimit` as structured fields (draft-ietf-httpapi-ratelimit-headers-10, RFC 9651).

use axum::{http::HeaderValue, response::Response};

use super::{Decision, Standing};

/// Names (lower-case) and values of both fields; none when no policy applies.
pub fn fields(decision: &Decision) -> Vec<(&'static str, String)> {
    if decision.standings.is_empty() {
        return Vec::new();
    }
    vec![("ratelimit-policy", list(decision, policy)), ("ratelimit", list(decision, limit))]
}

/// A response with both fields.
pub fn on(mut response: Response, decision: &Decision) -> Response {
    for (name, value) in fields(decision) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn policy(standing: &Standing) -> String {
    format!("{};q={};w={}", string(&standing.policy), standing.quota, standing.window_s)
}

fn limit(standing: &Standing) -> String {
    format!("{};r={};t={}", string(&standing.policy), standing.remaining, standing.reset_s)
}

fn list(decision: &Decision, item: impl Fn(&Standing) -> String) -> String {
    decision.standings.iter().map(item).collect::<Vec<_>>().join(",")
}

/// A structured-field string (RFC 9651, section 4.1.6). What ASCII cannot show becomes a question mark.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('?'),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(policy: &'static str, quota: u64, window_s: u64, remaining: u64, reset_s: u64) -> Standing {
        Standing { policy: policy.into(), quota, window_s, remaining, reset_s, violated: false }
    }

    #[test]
    fn every_policy_is_listed_with_its_quota_and_what_is_left() {
        let standings = vec![standing("burst", 100, 60, 50, 30), standing("daily", 1_000, 86_400, 0, 7_200)];
        assert_eq!(
            fields(&Decision { standings }),
            [
                ("ratelimit-policy", r#""burst";q=100;w=60,"daily";q=1000;w=86400"#.to_owned()),
                ("ratelimit", r#""burst";r=50;t=30,"daily";r=0;t=7200"#.to_owned()),
            ]
        );
        assert_eq!(fields(&Decision::default()), []);
    }

    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        assert_eq!(string("a\"b\\c\r\nd\u{e9}"), r#""a\"b\\c??d?""#);
    }
}
