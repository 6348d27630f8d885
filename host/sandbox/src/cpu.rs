//! Processor time of a call, measured on whatever threads it runs.

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Adds up the thread time of every poll of a call, so that waiting, other calls and a busy machine cost a guest nothing.
#[derive(Debug, Default)]
pub(crate) struct CpuClock {
    spent_ns: AtomicU64,
    polled_at_ns: AtomicU64,
}

impl CpuClock {
    /// Time spent so far; to be asked from inside the call.
    pub(crate) fn spent(&self) -> Duration {
        let now = thread_ns().saturating_sub(self.polled_at_ns.load(Relaxed));
        Duration::from_nanos(self.spent_ns.load(Relaxed) + now)
    }

    /// Time spent in finished polls; to be asked from outside the call.
    pub(crate) fn spent_before(&self) -> Duration {
        Duration::from_nanos(self.spent_ns.load(Relaxed))
    }

    /// Starts again from zero.
    pub(crate) fn restart(&self) {
        self.spent_ns.store(0, Relaxed);
    }

    /// Runs `call` on this clock.
    pub(crate) async fn measure<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            let start = thread_ns();
            self.polled_at_ns.store(start, Relaxed);
            let poll: Poll<T> = call.as_mut().poll(context);
            self.spent_ns.fetch_add(thread_ns().saturating_sub(start), Relaxed);
            poll
        })
        .await
    }
}

fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
