//! Makes a failing script short: takes out what the failure does not need, then makes plainer what is left.

use crate::script::{Op, Script};

/// The shortest script found, within `tries` runs, that `fails` still.
pub fn shrink(script: &Script, tries: usize, mut fails: impl FnMut(&Script) -> bool) -> Script {
    let mut left = tries;
    let mut ops = script.ops.clone();
    let mut still_fails = |ops: &[Op]| {
        if left == 0 {
            return false;
        }
        left -= 1;
        fails(&Script { settings: script.settings.clone(), ops: ops.to_vec() })
    };
    let mut chunk = ops.len().div_ceil(2).max(1);
    loop {
        let before = ops.len();
        take_out(&mut ops, chunk, &mut still_fails);
        match chunk {
            1 if ops.len() == before => break,
            1 => {}
            _ => chunk = chunk.div_ceil(2),
        }
    }
    make_plainer(&mut ops, &mut still_fails);
    Script { settings: script.settings.clone(), ops }
}

/// Tries to do without each run of `chunk` operations, the last first.
fn take_out(ops: &mut Vec<Op>, chunk: usize, still_fails: &mut impl FnMut(&[Op]) -> bool) {
    let mut end = ops.len();
    while end > 0 {
        let start = end.saturating_sub(chunk);
        let without: Vec<Op> = [&ops[..start], &ops[end..]].concat();
        if still_fails(&without) {
            *ops = without;
        }
        end = start;
    }
}

fn make_plainer(ops: &mut Vec<Op>, still_fails: &mut impl FnMut(&[Op]) -> bool) {
    for index in 0..ops.len() {
        for plainer in ops[index].plainer() {
            let mut changed = ops.clone();
            changed[index] = plainer;
            if changed != *ops && still_fails(&changed) {
                *ops = changed;
            }
        }
    }
}

#[test]
fn what_a_failure_does_not_need_is_taken_out() {
    let script = crate::generate::script(&mut crate::rng::Rng::new(3), 300);
    let needed = |script: &Script| {
        let roll = script.ops.iter().position(|op| matches!(op, Op::Roll {}));
        roll.is_some_and(|at| script.ops[at..].iter().any(|op| matches!(op, Op::Close {})))
    };
    assert!(needed(&script));
    assert_eq!(shrink(&script, 1000, needed).ops, [Op::Roll {}, Op::Close {}]);
}
