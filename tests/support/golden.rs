//! Golden directories, in memory.

use std::collections::BTreeMap;
use std::path::Path;

use ottla::disk::MemDisk;

/// The files of a golden directory, but for those below `without`.
pub(crate) fn golden(name: &str, without: &[&str]) -> MemDisk {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let mut contents = BTreeMap::new();
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                dirs.push(path);
            } else if !without.contains(&name.split('/').next().unwrap()) {
                contents.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    MemDisk::from_contents(&contents)
}
