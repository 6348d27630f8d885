//! Schedules: the schedule is data, the database decides what is due, tokio-cron-scheduler only ticks.

mod cron;
mod ticker;

pub use cron::{InvalidSchedule, next_after, validate};
pub use ticker::{Ticker, tick};
