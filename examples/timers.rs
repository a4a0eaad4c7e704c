//! A million timers with random deadlines within the next seconds, half of them cancelled, on the real clock.
//!
//! ```sh
//! cargo run --release --features cli --example timers -- [COUNT] [SECONDS]
//! ```
//!
//! The wheel asks no clock: this program does, sleeps until the next deadline, and tells the wheel what time it is. In the
//! end it prints how late the timers came, and how many operations a second the wheel has done.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the one who drives a wheel has a clock and may sleep"
)]

use std::error::Error;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant as Clock};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ottla::time::Instant;
use ottla::timer::TimingWheel;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().as_deref().unwrap_or("1000000").parse()?;
    let seconds: u64 = args.next().as_deref().unwrap_or("4").parse()?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);

    // The key of each timer is its deadline in milliseconds: what comes out then says how late it is. The first quarter of
    // the time is for inserting and cancelling.
    let deadlines: Vec<u64> = (0..count).map(|_| seconds * 250 + random.below(seconds * 750 + 1)).collect();
    let mut wheel = TimingWheel::new();
    let start = Clock::now();
    let ids: Vec<_> = deadlines.iter().map(|millis| wheel.insert(Instant::from_millis(*millis), *millis)).collect();
    let inserted = start.elapsed();
    let cancelled = ids.iter().filter(|_| random.below(2) == 0).filter_map(|id| wheel.cancel(*id)).count();
    let both = start.elapsed();
    println!("inserted  {count:>9} timers: {}", per_second(count, inserted));
    println!("cancelled {cancelled:>9} timers: {}", per_second(cancelled, both - inserted));

    let expected = wheel.len();
    let bar = progress_bar(expected as u64)?;
    let (mut due, mut handed_out, mut in_wheel) = (Vec::new(), 0, Duration::ZERO);
    let mut lateness = Histogram::default();
    while let Some(deadline) = timed(&mut in_wheel, || wheel.next_deadline()) {
        std::thread::sleep(Duration::from_millis(deadline.as_millis()).saturating_sub(start.elapsed()));
        let now = start.elapsed();
        timed(&mut in_wheel, || wheel.advance(Instant::from_millis(now.as_millis() as u64), &mut due));
        for millis in due.drain(..) {
            let late = now.checked_sub(Duration::from_millis(millis)).ok_or("a timer came early")?;
            lateness.add(late);
            handed_out += 1;
        }
        bar.set_position(handed_out as u64);
    }
    bar.finish_and_clear();
    println!("handed out {handed_out:>8} timers: {}", per_second(handed_out, in_wheel));
    if handed_out != expected {
        return Err(format!("{expected} timers were left, and {handed_out} came out").into());
    }
    println!("\nlateness, from the deadline until the timer is in the hands of this program:");
    lateness.print();
    Ok(())
}

fn timed<T>(total: &mut Duration, run: impl FnOnce() -> T) -> T {
    let start = Clock::now();
    let answer = run();
    *total += start.elapsed();
    answer
}

fn per_second(count: usize, time: Duration) -> String {
    let rate = count as f64 / time.as_secs_f64();
    format!("{:.1} million a second, {:.0} ns each", rate / 1e6, 1e9 / rate)
}

fn progress_bar(end: u64) -> Result<ProgressBar, Box<dyn Error>> {
    let is_terminal = std::io::stderr().is_terminal();
    let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} timers, {elapsed}")?;
    Ok(ProgressBar::with_draw_target(Some(end), target).with_style(style))
}

/// How many came how late: below 64 µs, 128 µs, and so on, each twice the one before.
#[derive(Default)]
struct Histogram {
    counts: [usize; 16],
}

impl Histogram {
    const FIRST_MICROS: u64 = 64;

    fn add(&mut self, late: Duration) {
        let times = late.as_micros() as u64 / Self::FIRST_MICROS;
        let row = (u64::BITS - times.leading_zeros()) as usize;
        self.counts[row.min(self.counts.len() - 1)] += 1;
    }

    fn print(&self) {
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1);
        let last = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        for (row, count) in self.counts.iter().enumerate().take(last + 1) {
            let limit = Duration::from_micros(Self::FIRST_MICROS << row);
            println!("  below {:>9} {count:>8} {}", format!("{limit:?}"), "#".repeat((count * 50).div_ceil(most)));
        }
    }
}

/// xorshift64*: the same deadlines in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(end)) >> 64) as u64
    }
}
