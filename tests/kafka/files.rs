//! The files of both logs, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::rng::Rng;
use crate::script::Damage;
use crate::subject::{number, whole_batches};

/// What Kafka would read of a partition's files: by name, indexes without what is only reserved.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of the partition in `directory`, as they are now.
pub fn read(directory: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut bytes = fs::read(&path).unwrap();
        match name.rsplit_once('.').map_or(name.as_str(), |(_, kind)| kind) {
            "log" => {}
            // Without entries it says no more than no file.
            "leader-epoch-checkpoint" if !bytes.is_empty() && bytes != b"0\n0\n" => {}
            "index" => cut_zeros(&mut bytes, 8),
            "timeindex" => cut_zeros(&mut bytes, 12),
            "snapshot" => sort_snapshot(&mut bytes),
            // One is made with the first aborted transaction; an empty one says the same as none.
            "txnindex" if !bytes.is_empty() => {}
            _ => continue,
        }
        files.insert(name, bytes);
    }
    files
}

fn cut_zeros(bytes: &mut Vec<u8>, entry: usize) {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last / entry + 1) * entry);
    bytes.truncate(used);
}

/// A snapshot's entries come in any order; its checksum stands for them.
fn sort_snapshot(bytes: &mut Vec<u8>) {
    if bytes.len() < 10 {
        return;
    }
    let mut entries: Vec<Vec<u8>> = bytes[10..].chunks(46).map(<[u8]>::to_vec).collect();
    entries.sort();
    let head = bytes[..2].to_vec();
    *bytes = [head, entries.concat()].concat();
}

/// An aborted transaction in its index: version, producer, first and last offset, last stable offset.
const ABORTED: [usize; 5] = [2, 8, 8, 8, 8];

/// Takes out what only ottla knows to have begun below the log start: from both, the transactions that it has such a
/// first offset for; of the others, a last stable offset there. Answers whether there was any.
pub fn forget_begun_below(kafka: &mut Files, ottla: &mut Files, log_start: i64) -> bool {
    let mut any = false;
    let names: Vec<String> = ottla.keys().filter(|name| name.ends_with(".txnindex")).cloned().collect();
    for name in names {
        let mut theirs = entries(kafka.get(&name).map_or(&[], Vec::as_slice), &ABORTED);
        let mut ours = entries(&ottla[&name], &ABORTED);
        if theirs == ours {
            continue;
        }
        let known_better: Vec<(i64, i64)> = ours
            .iter()
            .filter(|entry| entry[2] < log_start && !theirs.contains(entry))
            .map(|entry| (entry[1], entry[3]))
            .collect();
        for all in [&mut theirs, &mut ours] {
            all.retain(|entry| !known_better.contains(&(entry[1], entry[3])));
        }
        let mut from_below = false;
        for (theirs, ours) in theirs.iter().zip(&mut ours).filter(|(_, ours)| ours[4] < log_start) {
            from_below |= theirs[4] != ours[4];
            ours[4] = theirs[4];
        }
        any |= from_below || !known_better.is_empty();
        for (files, entries) in [(&mut *kafka, theirs), (&mut *ottla, ours)] {
            files.remove(&name);
            if !entries.is_empty() {
                files.insert(name.clone(), entries.iter().flat_map(|entry| bytes_of(entry, &ABORTED)).collect());
            }
        }
    }
    any
}

/// The numbers of each entry of a file whose fields have these widths.
fn entries(bytes: &[u8], widths: &[usize]) -> Vec<Vec<i64>> {
    let entry = |chunk: &[u8]| {
        let mut at = 0;
        widths
            .iter()
            .map(|width| {
                at += width;
                number(chunk, at - width, *width)
            })
            .collect()
    };
    bytes.chunks_exact(widths.iter().sum()).map(entry).collect()
}

fn bytes_of(entry: &[i64], widths: &[usize]) -> Vec<u8> {
    entry.iter().zip(widths).flat_map(|(number, width)| number.to_be_bytes()[8 - width..].to_vec()).collect()
}

/// Compares the files of two partitions that are both closed.
pub fn compare(kafka: &Files, ottla: &Files) -> Result<(), String> {
    let newest = |files: &Files| files.keys().rfind(|name| name.ends_with(".snapshot")).cloned();
    // One that tells of no producer may be missing.
    if newest(kafka) > newest(ottla) {
        return Err(format!("newest snapshot: Kafka {:?}, ottla {:?}", newest(kafka), newest(ottla)));
    }
    let names: Vec<&String> = kafka.keys().chain(ottla.keys()).collect();
    for name in names {
        // When the older ones are written is each one's own affair: they only save work after a kill.
        if name.ends_with(".snapshot") && !(kafka.contains_key(name) && ottla.contains_key(name)) {
            continue;
        }
        let (theirs, ours) = match (kafka.get(name), ottla.get(name)) {
            (Some(theirs), Some(ours)) => (theirs, ours),
            (None, _) => return Err(format!("file: only ottla has {name}")),
            (_, None) => return Err(format!("file: only Kafka has {name}")),
        };
        // Each has the producers that it knows.
        let shared = name.ends_with(".snapshot").then(|| shared_entries(theirs, ours));
        let same = shared.map_or(theirs == ours, |(theirs, ours)| theirs == ours);
        if !same {
            let kind = name.rsplit('.').next().unwrap_or(name);
            return Err(format!("file .{kind}: {name} differs{}", where_they_part(theirs, ours, kind)));
        }
    }
    Ok(())
}

fn where_they_part(theirs: &[u8], ours: &[u8], kind: &str) -> String {
    if kind == "leader-epoch-checkpoint" {
        return format!(": Kafka {:?}, ottla {:?}", String::from_utf8_lossy(theirs), String::from_utf8_lossy(ours));
    }
    let widths: &[usize] = match kind {
        "index" => &[4, 4],
        "timeindex" => &[8, 4],
        "txnindex" => &ABORTED,
        "snapshot" => return format!(": Kafka {:?}, ottla {:?}", snapshot(theirs), snapshot(ours)),
        _ => {
            let at = theirs.iter().zip(ours).take_while(|(theirs, ours)| theirs == ours).count();
            let near = |bytes: &[u8]| format!("{:02x?} of {} bytes", &bytes[at..bytes.len().min(at + 30)], bytes.len());
            return format!(" at {at}: Kafka {}, ottla {}", near(theirs), near(ours));
        }
    };
    format!(": Kafka {:?}, ottla {:?}", entries(theirs, widths), entries(ours, widths))
}

/// The entries of two snapshots whose producers are in both.
fn shared_entries(theirs: &[u8], ours: &[u8]) -> (Vec<Vec<i64>>, Vec<Vec<i64>>) {
    let of = |bytes, other| {
        let others = snapshot(other);
        let is_shared = |entry: &Vec<i64>| others.iter().any(|theirs| theirs[0] == entry[0]);
        snapshot(bytes).into_iter().filter(is_shared).collect()
    };
    (of(theirs, ours), of(ours, theirs))
}

fn snapshot(bytes: &[u8]) -> Vec<Vec<i64>> {
    entries(bytes.get(2..).unwrap_or_default(), &[8, 2, 4, 8, 4, 8, 4, 8])
}

/// Damages the last segment of a killed log, above `recovery_point`, where a crash may leave anything.
pub fn damage(directory: &Path, how: Damage, permille: i64, salt: u64, recovery_point: i64) {
    let last = read(directory).into_iter().rfind(|(name, _)| name.ends_with(".log"));
    let Some((name, mut bytes)) = last else { return };
    let sizes = whole_batches(&bytes);
    let mut safe = 0;
    for size in &sizes {
        if number(&bytes, safe, 8) + number(&bytes, safe + 23, 4) >= recovery_point {
            break;
        }
        safe += size;
    }
    let open = (bytes.len() - safe) as i64;
    let amount = (open * permille / 1000) as usize;
    let mut rng = Rng::new(salt);
    match how {
        Damage::None => return,
        Damage::Cut => bytes.truncate(bytes.len() - amount),
        Damage::Zeros => bytes.resize(bytes.len() + 1 + permille as usize / 10, 0),
        Damage::Noise => {
            let count = 1 + permille / 10;
            // Never a length field that could be one, nor one that reaches beyond the file.
            bytes.extend((0..count).map(|index| if index < 16 { 0xff } else { rng.next() as u8 }));
        }
        Damage::Flip => {
            // A bit that the checksum covers, of one of the batches that were not flushed.
            let mut at = 0;
            let open: Vec<(usize, usize)> = sizes
                .iter()
                .map(|size| {
                    at += size;
                    (at - size, *size)
                })
                .filter(|(at, _)| *at >= safe)
                .collect();
            if open.is_empty() {
                return;
            }
            let (at, size) = rng.pick(&open);
            bytes[at + 21 + rng.below(size as u64 - 21) as usize] ^= 1 << rng.below(8);
        }
    }
    fs::write(directory.join(name), bytes).unwrap();
}
