//! Who imports whom: the table of rooms, compared with the code and with ARCHITECTURE.md.
//!
//! The table stands here once. A room that is not in it, an import it does not allow, and a map that says something else
//! each fail with the line to look at.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the sources are files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LEAVES: &[&str] = &["offset", "epoch", "id", "time"];
/// What needs no other room, and may import none but those it names.
const ALONE: &[&str] = &["timer"];

/// Each room, and the rooms it may import.
fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let rows: &[(&str, &[&str])] = &[
        ("offset", &[]),
        ("epoch", &[]),
        ("id", &[]),
        ("time", &[]),
        ("timer", &["time"]),
        ("record", &[]),
        ("log", &["record"]),
        ("partition", &["record", "log"]),
        ("message", &["record"]),
        ("controller", &["record", "message"]),
        ("coordinator", &["record", "message"]),
        ("producer", &["record", "message"]),
        ("consumer", &["record", "message"]),
        ("broker", &["timer", "record", "log", "partition", "message", "controller", "coordinator"]),
        ("disk", &["record", "log"]),
        (
            "queue",
            &[
                "timer",
                "record",
                "log",
                "partition",
                "message",
                "controller",
                "coordinator",
                "producer",
                "consumer",
                "broker",
                "disk",
            ],
        ),
        ("cli", &["record", "log", "message", "controller", "disk"]),
    ];
    rows.iter()
        .map(|(room, imports)| {
            let leaves = if LEAVES.contains(room) || ALONE.contains(room) { &[] } else { LEAVES };
            (*room, leaves.iter().chain(*imports).copied().collect())
        })
        .collect()
}

#[test]
fn every_room_is_in_the_table_and_the_table_names_no_other() {
    let rooms: BTreeSet<String> = sources().iter().filter_map(|path| room_of(path)).collect();
    let named: BTreeSet<String> = table().keys().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, named, "left: the folders and files of src/; right: the table");
}

#[test]
fn every_import_is_allowed_by_the_table() {
    let table = table();
    let mut wrong = Vec::new();
    for path in sources() {
        let Some(room) = room_of(&path) else { continue };
        let code = without_comments(&fs::read_to_string(&path).unwrap());
        for (line, imported) in imports(&code) {
            let allowed =
                imported == room || table.get(room.as_str()).is_some_and(|row| row.contains(imported.as_str()));
            if !allowed {
                wrong.push(format!("{}:{line}: `{room}` may not import `{imported}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nobody_imports_the_outer_rooms() {
    for (room, imports) in table() {
        for outer in ["queue", "sim", "wire", "cli"] {
            assert!(!imports.contains(outer), "`{room}` imports `{outer}`");
        }
    }
}

#[test]
fn the_map_says_the_same_as_the_table() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows: BTreeMap<String, BTreeSet<String>> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let columns: Vec<&str> = row.trim_end_matches('|').split(" | ").collect();
            let room = columns[0].trim_end_matches('`').to_owned();
            let imports = columns[columns.len() - 1].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (room, imports)
        })
        .collect();
    let table: BTreeMap<String, BTreeSet<String>> = table()
        .into_iter()
        .map(|(room, imports)| (room.to_owned(), imports.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(rows, table, "left: ARCHITECTURE.md; right: the table");
}

#[test]
fn imports_are_found_in_groups_in_paths_and_past_comments() {
    let code = "use crate::{log::{Log, Tail}, record::Batch, disk};\nlet x = crate::time::Instant::ZERO;\n\
                // crate::cli\nfn f() -> super::super::id::TopicId {}\nlet s = mycrate::queue::Q;";
    let found: Vec<(usize, String)> = imports(&without_comments(code));
    let named: Vec<(usize, &str)> = found.iter().map(|(line, room)| (*line, room.as_str())).collect();
    assert_eq!(named, [(1, "log"), (1, "record"), (1, "disk"), (2, "time"), (4, "super::super")]);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below `src`.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The room a file belongs to; none for the root of the library, which only names rooms, and for the binary.
fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next()?.to_str()?;
    let room = first.trim_end_matches(".rs");
    (room != "lib" && room != "bin").then(|| room.to_owned())
}

/// The code with line comments blanked. Rooms named in documentation are links, not imports.
fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split_once("//").map_or(line, |(before, _)| before)).collect::<Vec<_>>().join("\n")
}

/// The rooms that paths of the code name, each with its line. A path that climbs past its parent could reach any room
/// unseen, and counts as one of its own.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
            continue;
        }
        let line = line_of(code, at);
        found.extend(first_names(&code[at + "crate::".len()..]).into_iter().map(|room| (line, room)));
    }
    for (at, _) in code.match_indices("super::super::") {
        found.push((line_of(code, at), "super::super".to_owned()));
    }
    found.sort_by_key(|(line, _)| *line);
    found
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The first name of the path, or of each path of a group in braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
