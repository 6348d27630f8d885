//! The one wasmtime configuration, and the ticker that lets the host interrupt a guest.

use std::{thread, time::Duration};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy};

use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES, SandboxOptions};

/// How often a running guest gives way and has its processor time looked at.
const TICK: Duration = Duration::from_millis(10);
/// Stack a guest may use; the rest of a fiber's stack is for host functions it calls.
const WASM_STACK_BYTES: usize = 512 << 10;
const FIBER_STACK_BYTES: usize = 2 << 20;

/// An engine whose epoch advances every `TICK` for as long as it lives.
pub(crate) fn engine(options: &SandboxOptions) -> wasmtime::Result<Engine> {
    let engine = match options.pooling.then(|| Engine::new(&pooled(options.max_calls))) {
        Some(Ok(engine)) => engine,
        Some(Err(error)) => {
            tracing::warn!(%error, "too little address space to reserve sandboxes ahead; each is made when needed, which is slower");
            Engine::new(&frugal())?
        }
        None => Engine::new(&frugal())?,
    };
    let weak = engine.weak();
    thread::Builder::new().name("sandbox-ticker".to_owned()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(engine)
}

/// Only what components for WASI p2 need is on; threads, the garbage collector and async components are not even compiled in.
/// Several memories in a module are: wasmtime itself makes such modules where one component of a composition calls another.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_stack_switching(false)
        .wasm_relaxed_simd(false)
        .wasm_gc(false)
        .gc_support(false)
        .shared_memory(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .memory_init_cow(true);
    config
}

/// Memories start small, move as they grow and check their bounds, so that little address space is reserved.
fn frugal() -> Config {
    let mut config = config();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_reservation_for_growth(64 << 20)
        .memory_guard_size(64 << 10);
    config
}

/// Places for all calls are reserved ahead and used again and again.
fn pooled(max_calls: u32) -> Config {
    // A little more than the calls let in at once: a slot is free again only a moment after its call has ended.
    let calls = max_calls + max_calls / 4 + 2;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        // For all calls the most that each may have: greedy ones must not leave others without. It is address space, not memory.
        .total_core_instances(calls * MAX_INSTANCES as u32)
        .total_memories(calls * MAX_MEMORIES as u32)
        .total_tables(calls * MAX_TABLES as u32)
        .total_stacks(calls)
        .max_core_instances_per_component(MAX_INSTANCES as u32)
        .max_memories_per_component(MAX_MEMORIES as u32)
        .max_tables_per_component(MAX_TABLES as u32)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(8)
        // Only pages that a call has touched are reset (Linux 6.7 and later), and stay resident for the next one.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(512 << 10)
        .table_keep_resident(64 << 10)
        .decommit_batch_size(8);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
