//! Work of a known amount: a number of multiplications, each of which needs the one before.

use std::{hint::black_box, time::Instant};

/// Does so many steps.
pub fn work(seed: u64, steps: u64) -> u64 {
    let mut state = seed | 1;
    for _ in 0..steps {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    state
}

/// Steps that take a microsecond on this machine, as far as nothing disturbs it.
pub fn steps_per_us() -> u64 {
    let steps = 2_000_000;
    let time = |_| {
        let start = Instant::now();
        black_box(work(1, steps));
        start.elapsed().as_nanos().max(1)
    };
    let ns = (0..20).map(time).min().unwrap_or(1);
    (u128::from(steps) * 1_000 / ns) as u64
}

/// Processor time of all threads of this process so far. Threads that have ended are missing.
pub fn processor_ns() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    stats.filter_map(|stat| stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok())).sum()
}
