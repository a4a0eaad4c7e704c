//! Every fuzz target, replayed over its kept corpus: what a fuzzer once found stays found.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the corpora are files")]

#[expect(unreachable_pub, reason = "the fuzz crate includes the same files")]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_kept_input_of_every_target_still_passes() {
    for (name, target) in fuzz::TARGETS {
        let inputs = listed(&root().join("fuzz/corpus").join(name));
        assert!(!inputs.is_empty(), "no corpus for {name}");
        for input in inputs {
            // Captured unless the test fails: the last line names the culprit.
            println!("{name}: {}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_target_is_known_to_the_fuzzer_and_to_this_test() {
    let known: BTreeSet<String> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut with_canary = known.clone();
    with_canary.insert("canary".to_owned());
    assert_eq!(stems(&root().join("fuzz/fuzz_targets")), with_canary, "fuzz/fuzz_targets");
    assert_eq!(stems(&root().join("fuzz/corpus")), with_canary, "fuzz/corpus");
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for name in &with_canary {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml lacks {name}");
    }
    let mut written = BTreeSet::new();
    for file in listed(&root().join("tests/fuzz")) {
        let code = fs::read_to_string(file).unwrap();
        let functions = code.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split_once('('));
        written.extend(functions.filter(|(_, rest)| rest.ends_with(": &[u8]) {")).map(|(name, _)| name.to_owned()));
    }
    assert_eq!(written, known, "left: the functions of tests/fuzz; right: TARGETS");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn stems(dir: &Path) -> BTreeSet<String> {
    listed(dir).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
