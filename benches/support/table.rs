//! Measuring, and the rows of a table: ours beside the raw thing that it comes down to.

use std::time::Instant;

/// Runs the benches that the command line names, or all of them.
pub(crate) fn run(all: &[(&str, fn())]) {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    println!("| what | ottla | raw, in the same run | ottla / raw |");
    println!("|---|---|---|---|");
    for (_, run) in all.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == name)) {
        run();
    }
}

/// How many seconds it takes.
pub(crate) fn timed(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64()
}

/// A row of rates, in bytes or records a second, as `in_words` says them.
pub(crate) fn row_rate(name: &str, raw_name: &str, ours: &[f64], raw: &[f64], in_words: fn(f64) -> String) {
    let (ours, raw) = (median(ours), median(raw));
    println!("| {name} | {} | {raw_name}: {} | {:.2} |", in_words(ours), in_words(raw), ours / raw);
}

/// A row of times, in seconds.
pub(crate) fn row_time(name: &str, raw_name: &str, ours: &[f64], raw: &[f64]) {
    row_rate(name, raw_name, ours, raw, |seconds| format!("{:.1} µs", seconds * 1e6));
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
