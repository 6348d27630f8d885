//! How long a job that failed waits before it is tried again.

use std::time::Duration;

use rand::RngExt;

/// The first pause is at most this long; each further one twice as long at most.
const FIRST: Duration = Duration::from_secs(2);
/// No pause of ours is longer.
const LONGEST: Duration = Duration::from_secs(600);
/// Nor is one that the other side asks for.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// The pause after so many tries. What the other side asked for (Retry-After) is kept, and spread a little so that not everybody
/// who was told the same comes back at the same moment.
///
/// Between half and the whole of an exponentially growing span, "equal jitter":
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
pub fn pause(attempt: i64, retry_after: Option<Duration>) -> Duration {
    if let Some(asked) = retry_after {
        let asked = asked.min(LONGEST_ASKED);
        return asked + asked.mul_f64(rand::rng().random_range(0.0..0.1));
    }
    let doublings = u32::try_from(attempt.clamp(1, 16) - 1).unwrap_or(0);
    let longest = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_end_somewhere() {
        let spread = |attempt, asked| {
            let pauses: Vec<_> = (0..200).map(|_| pause(attempt, asked)).collect();
            (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap())
        };
        let seconds = Duration::from_secs;
        for (attempt, longest) in [(1, 2), (2, 4), (5, 32), (9, 512), (10, 600), (i64::MAX, 600)] {
            let (least, most) = spread(attempt, None);
            assert!(
                least >= seconds(longest) / 2 && most <= seconds(longest) && least < most,
                "{attempt}: {least:?} {most:?}"
            );
        }
        let (least, most) = spread(1, Some(seconds(30)));
        assert!(least >= seconds(30) && most <= seconds(33) && least < most, "never before it was asked for");
        assert!(spread(1, Some(seconds(1_000_000))).1 <= seconds(4_000), "nobody keeps a job away for ever");
    }
}
