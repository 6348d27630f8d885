//! Calling a component: its turn, its store, its limits, and what the end of a call means.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tributary_core::contract::{Failure, Fault};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::{
    cpu::CpuClock,
    limits::{CallLimits, Exhausted, Limited},
};

/// Resource handles a component may hold at once.
const MAX_HANDLES: usize = 10_000;

/// The right to run one component, with the limits that each of its calls has. Its store is thrown away with it.
pub(crate) struct Turn {
    name: String,
    limits: CallLimits,
    cpu: Arc<CpuClock>,
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits for a turn and makes a fresh store around `guest`. `name` is how failures name the component.
    pub(crate) async fn begin<G: Limited + Send + 'static>(
        engine: &Engine,
        turns: &Arc<Semaphore>,
        max_wait: Duration,
        name: &str,
        limits: CallLimits,
        guest: G,
    ) -> Result<(Self, Store<G>), Failure> {
        let permit = match timeout(max_wait, turns.clone().acquire_owned()).await {
            Ok(permit) => permit.expect("the semaphore is never closed"),
            Err(_) => return Err(busy()),
        };
        let cpu = Arc::new(CpuClock::default());
        let budget = Duration::from_millis(limits.cpu_ms);
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| guest.limiter());
        store.set_hostcall_fuel(limits.result_bytes);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        let clock = cpu.clone();
        store.epoch_deadline_callback(move |_| {
            if clock.spent() >= budget {
                return Err(Exhausted::Cpu.into());
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        Ok((Self { name: name.to_owned(), limits, cpu, _permit: permit }, store))
    }

    /// Runs a call to its end or to its limits, which each call has for itself.
    pub(crate) async fn run<T>(&self, call: impl Future<Output = wasmtime::Result<T>>) -> Result<T, Failure> {
        let start = Instant::now();
        self.cpu.restart();
        let deadline = Duration::from_millis(self.limits.deadline_ms);
        let result = match timeout(deadline, self.cpu.measure(call)).await {
            Ok(result) => result.map_err(|error| self.failure(&error)),
            Err(_) => Err(Failure::new(
                Fault::Deadline,
                "deadline",
                format!(
                    "{} did not answer within {} ms and was stopped; give it smaller pages or a longer deadline, or report it to its author",
                    self.name, self.limits.deadline_ms
                ),
            )),
        };
        let cpu_ms = self.cpu.spent_before().as_secs_f64() * 1e3;
        tracing::trace!(
            component = self.name,
            cpu_ms,
            ms = start.elapsed().as_secs_f64() * 1e3,
            ok = result.is_ok(),
            "sandbox call"
        );
        result
    }

    /// What the end of a guest means. Its own function names are for the log at debug level only.
    fn failure(&self, error: &wasmtime::Error) -> Failure {
        let name = &self.name;
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            let frames: Vec<_> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).take(8).collect();
            tracing::debug!(component = name, ?frames, error = %error.root_cause(), "the component was stopped");
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return busy();
        }
        // What the host itself said of a call that it ended.
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return failure.clone();
        }
        match error.downcast_ref::<Exhausted>() {
            Some(Exhausted::Cpu) => {
                return Failure::new(
                    Fault::Deadline,
                    "cpu_budget",
                    format!(
                        "{name} used up its {} ms of processor time and was stopped; give it smaller pages or a larger budget, or report it to its author",
                        self.limits.cpu_ms
                    ),
                );
            }
            Some(Exhausted::Memory) => {
                return Failure::new(
                    Fault::Memory,
                    "memory_limit",
                    format!(
                        "{name} wanted more than {} MiB of memory and was stopped; exclude very large items or allow it more memory",
                        self.limits.memory_bytes >> 20
                    ),
                );
            }
            None => {}
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return Failure::new(
                Fault::Trap,
                "exited",
                format!("{name} ended itself with status {status} instead of answering; report it to its author"),
            );
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let why = match trap {
                Trap::StackOverflow => "it recursed too deeply and ran out of stack",
                Trap::UnreachableCodeReached => "it panicked; its last words are in the log",
                Trap::MemoryOutOfBounds | Trap::HeapMisaligned => "it reached outside its memory",
                Trap::IntegerDivisionByZero => "it divided by zero",
                _ => "its program is faulty",
            };
            tracing::debug!(component = name, %trap, "trap");
            return Failure::new(Fault::Trap, "trap", format!("{name} crashed: {why}; report it to its author"));
        }
        // wasmtime does not export the type of this error.
        if error.chain().any(|cause| cause.to_string().contains("fuel allocated for hostcalls has been exhausted")) {
            return handed_over_too_much(name, self.limits.result_bytes);
        }
        let cause = crate::text::printable(&error.root_cause().to_string(), 300);
        tracing::debug!(component = name, error = format!("{error:?}"), "the component failed");
        Failure::new(
            Fault::Trap,
            "broken",
            format!("{name} broke the rules of the sandbox ({cause}) and was stopped; report it to its author"),
        )
    }
}

/// What is said of a guest that hands over more than `result_bytes` at once.
pub(crate) fn handed_over_too_much(name: &str, result_bytes: usize) -> Failure {
    Failure::new(
        Fault::TooLarge,
        "handed_over_too_much",
        format!(
            "{name} handed over more than {} MiB at once and was stopped; it must return smaller pages",
            result_bytes >> 20
        ),
    )
}

fn busy() -> Failure {
    Failure::new(Fault::Transient, "sandbox_busy", "all sandboxes are in use; try again later, or allow more of them")
}
