//! Guessing passwords: attempts are limited by address, failures by account.

use std::net::IpAddr;

use super::{Decision, Limiter, Policy, Window, keys};

/// Attempts of one address, successful or not.
const BY_ADDRESS: [Policy; 1] = [Policy::new("login-address", 20, Window::Seconds(60))];
/// Failures of one account, from wherever they come.
const BY_ACCOUNT: [Policy; 1] = [Policy::new("login-account", 10, Window::Seconds(900))];

/// An attempt to log in that may go on to the password. It stands as a failure unless it is [forgiven](Self::forgive).
pub struct Attempt<'a> {
    limiter: &'a Limiter,
    account: String,
}

/// Lets an attempt in, or says under which policy it is refused; to be asked before the password is hashed.
///
/// The failure is counted beforehand, so that guesses sent at once or broken off halfway count as well. Unknown accounts
/// are counted like known ones, and a success gives back its own attempt only.
pub async fn login<'a>(limiter: &'a Limiter, address: IpAddr, email: &str) -> Result<Attempt<'a>, Decision> {
    let by_address = limiter.take(&keys::ip(address), &BY_ADDRESS, 1).await.granted()?;
    let account = keys::account(email);
    by_address.join(limiter.take(&account, &BY_ACCOUNT, 1).await).granted()?;
    Ok(Attempt { limiter, account })
}

impl Attempt<'_> {
    /// It was no failure: the password was right, or was not looked at.
    pub async fn forgive(self) {
        self.limiter.refund(&self.account, &BY_ACCOUNT, 1).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use chrono::TimeDelta;
    use tributary_core::{Clock, ManualClock, SystemClock};

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    async fn refused(limiter: &Limiter, address: IpAddr, email: &str) -> Vec<String> {
        match login(limiter, address, email).await {
            Ok(_) => Vec::new(),
            Err(decision) => decision.violated().map(str::to_owned).collect(),
        }
    }

    #[tokio::test]
    async fn one_account_is_not_guessed_from_many_addresses() {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let limiter = Limiter::local(clock.clone());
        for number in 0..10 {
            assert!(refused(&limiter, address(number), "ada@example.com").await.is_empty());
        }
        assert_eq!(refused(&limiter, address(10), " ADA@example.com ").await, ["login-account"]);
        assert!(refused(&limiter, address(10), "bob@example.com").await.is_empty(), "others go on");
        clock.set(clock.now() + TimeDelta::seconds(900));
        assert!(refused(&limiter, address(10), "ada@example.com").await.is_empty());
    }

    #[tokio::test]
    async fn guesses_at_once_are_no_more_than_guesses_in_turn() {
        let limiter = Limiter::local(Arc::new(SystemClock));
        let together = (0..50).map(|number| login(&limiter, address(number), "ada@example.com"));
        let let_in = futures::future::join_all(together).await;
        assert_eq!(let_in.iter().filter(|attempt| attempt.is_ok()).count(), 10);
    }

    #[tokio::test]
    async fn the_owner_logging_in_gives_a_guesser_no_more_guesses() {
        let limiter = Limiter::local(Arc::new(ManualClock::at(SystemClock.now())));
        for number in 0..9 {
            assert!(refused(&limiter, address(number), "ada@example.com").await.is_empty());
        }
        for _ in 0..15 {
            let Ok(owner) = login(&limiter, address(100), "ada@example.com").await else {
                panic!("the owner is refused")
            };
            owner.forgive().await;
        }
        assert!(refused(&limiter, address(9), "ada@example.com").await.is_empty());
        assert_eq!(refused(&limiter, address(10), "ada@example.com").await, ["login-account"]);
    }

    #[tokio::test]
    async fn one_address_is_stopped_whatever_it_guesses() {
        let limiter = Limiter::local(Arc::new(ManualClock::at(SystemClock.now())));
        for number in 0..20 {
            assert!(refused(&limiter, address(1), &format!("{number}@example.com")).await.is_empty());
        }
        assert_eq!(refused(&limiter, address(1), "ada@example.com").await, ["login-address"]);
        assert!(refused(&limiter, address(2), "ada@example.com").await.is_empty());
    }
}
