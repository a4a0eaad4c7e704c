//! How far a log must be readable for so many bytes, beside a plain sum.

use proptest::prelude::*;

use super::*;

/// The batches of a log: first offset, the one behind the last, size.
type Rows = Vec<(u64, u64, u64)>;

fn reach_of(rows: &Rows, from: u64, bytes: u64) -> Reach {
    let mut sum = 0;
    for (_, next, size) in rows.iter().filter(|(_, next, _)| *next > from) {
        sum += size;
        if sum >= bytes {
            return Reach::Offset(at(*next));
        }
    }
    Reach::Missing(bytes - sum)
}

/// Whether whoever waits for `found` is woken no later than by `exact`.
fn is_no_later(found: Reach, exact: Reach) -> bool {
    match (found, exact) {
        (Reach::Offset(found), Reach::Offset(exact)) => found <= exact,
        (Reach::Missing(found), Reach::Missing(exact)) => found <= exact,
        (Reach::Offset(_), Reach::Missing(_)) => true,
        (Reach::Missing(_), Reach::Offset(_)) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_knows_how_far_so_many_bytes_reach(
        steps in prop::collection::vec((0..8_u8, 0..40_u64), 1..60),
        cache in prop::sample::select(vec![0_u32, 400, 1 << 20]),
        segment_bytes in prop::sample::select(vec![500_u32, 1 << 20]),
    ) {
        let config = LogConfig {
            tail_cache_bytes: cache,
            segment_bytes,
            index_interval_bytes: 100,
            ..LogConfig::default()
        };
        let (mut log, mut out) = new_log(config);
        let mut rows = Rows::new();
        for (step, number) in steps {
            match step {
                0..=3 => {
                    let batch = batch(None, 1 + number as usize % 3);
                    let appended = append(&mut log, &batch, &mut out);
                    rows.push((appended.base_offset.get(), appended.last_offset.get() + 1, u64::from(batch.size())));
                }
                4 => log.done(last_op(&out), &mut out),
                5 => {
                    let ends = rows.iter().map(|(_, next, _)| *next);
                    log.advance_high_watermark(at(ends.rev().nth(number as usize % 4).unwrap_or(0)));
                }
                6 => {
                    let to = rows.iter().rev().nth(number as usize % 3).map_or(0, |(base, ..)| *base);
                    let to = at(to).max(log.high_watermark());
                    log.truncate_to(to, None, NOW, &mut out).unwrap();
                    rows.retain(|(_, next, _)| *next <= to.get());
                }
                _ => drop(log.roll(NOW, &mut out)),
            }
            let pushed: u64 = rows.iter().map(|(.., size)| size).sum();
            prop_assert_eq!(log.appended_bytes(), pushed);
            let is_exact = |from| cache == 1 << 20 || at(from) >= log.high_watermark();
            for from in 0..=log.log_end_offset().get() {
                for bytes in [1, 70, 71, 200, 1000] {
                    let (found, exact) = (log.reach(at(from), bytes), reach_of(&rows, from, bytes));
                    prop_assert!(is_no_later(found, exact), "{bytes} from {from}: {found:?}, {exact:?}");
                    prop_assert!(!is_exact(from) || found == exact, "{bytes} from {from}: {found:?}, {exact:?}");
                    prop_assert!(!matches!(found, Reach::Offset(end) if end <= at(from)));
                }
            }
        }
    }
}
