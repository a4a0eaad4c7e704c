//! The log beside raw baselines, in the same run: `cargo bench --bench log [-- NAME...]`.
//!
//! Absolute times on a shared machine mean nothing; each line is a ratio to a raw call on the same disk, the two taking
//! turns, and the median of several rounds. Nothing here fails on a time.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench measures real time and compares with raw files, and has nobody to return an error to"
)]

#[path = "support/table.rs"]
mod table;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use ottla::disk::{Disk, FileDisk, LogFile, OpenOptions, ReadMode};
use ottla::id::TopicPartition;
use ottla::log::{Isolation, LogConfig};
use ottla::offset::Offset;
use ottla::record::{Batch, BatchBuilder, Codec, DecompressLimit, NewRecord};
use ottla::time::Timestamp;

use table::{median, row_rate, row_time, run, timed};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const ROUNDS: usize = 5;

fn main() {
    run(&[
        ("append", append),
        ("flush", flush),
        ("read", sequential_read),
        ("lookup", lookup),
        ("batch", batch),
        ("scan", recovery_scan),
        ("open", open_after_kill),
        ("partitions", open_partitions),
    ]);
}

/// Rates of 64 KiB batches into the page cache, beside `pwrite` of the same bytes.
fn append() {
    for record_bytes in [1 << 10, 10 << 10] {
        let batch = batch_of(64 << 10, record_bytes);
        let count = (256 << 20) / batch.size() as usize;
        let bytes = count as f64 * f64::from(batch.size());
        let plain = batch.to_bytes();
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for _ in 0..ROUNDS {
            let dir = tempfile::tempdir().unwrap();
            let mut log = open(dir.path(), LogConfig::default(), ReadMode::Read);
            let start = Instant::now();
            for _ in 0..count {
                log.append(NOW, &batch).unwrap();
            }
            ours.push(bytes / start.elapsed().as_secs_f64());
            drop((log, dir));

            let dir = tempfile::tempdir().unwrap();
            let file = File::create(dir.path().join("raw")).unwrap();
            let start = Instant::now();
            for number in 0..count {
                file.write_all_at(&plain, number as u64 * plain.len() as u64).unwrap();
            }
            raw.push(bytes / start.elapsed().as_secs_f64());
        }
        let name = format!("append, 64 KiB batches of {} KiB records, page cache", record_bytes >> 10);
        row_rate(&name, "pwrite of the same bytes", &ours, &raw, gigabytes);
    }
}

/// One 4 KiB batch appended and flushed at a time, beside `pwrite` and `fdatasync` on a growing file.
fn flush() {
    let batch = batch_of(4 << 10, 1 << 10);
    let plain = batch.to_bytes();
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default(), ReadMode::Read);
    let file = File::create(dir.path().join("raw")).unwrap();
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for number in 0..400u64 {
        ours.push(timed(|| {
            log.append(NOW, &batch).unwrap();
            log.flush().unwrap();
        }));
        raw.push(timed(|| {
            file.write_all_at(&plain, number * plain.len() as u64).unwrap();
            file.sync_data().unwrap();
        }));
    }
    row_time("append and flush one 4 KiB batch, p50", "pwrite + fdatasync, growing file", &ours, &raw);
}

/// Every record decoded and every checksum compared, beside a `pread` loop that sums the bytes.
fn sequential_read() {
    for (mode, name) in [(ReadMode::Read, "plain"), (ReadMode::Map, "mapped")] {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig { segment_bytes: 128 << 20, tail_cache_bytes: 0, ..LogConfig::default() };
        let (mut log, total) = filled(dir.path(), config, mode, 256 << 20);
        let path = dir.path().join("t-0/00000000000000000000.log");
        let file = File::open(path).unwrap();
        let sealed = file.metadata().unwrap().len() as f64;
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let read = read_all(&mut log);
            ours.push(read as f64 / start.elapsed().as_secs_f64());
            let mut buffer = vec![0; 1 << 20];
            let mut sum = 0u64;
            let start = Instant::now();
            let mut at = 0;
            loop {
                let read = file.read_at(&mut buffer, at).unwrap();
                if read == 0 {
                    break;
                }
                sum = sum.wrapping_add(buffer[..read].iter().map(|byte| u64::from(*byte)).sum::<u64>());
                at += read as u64;
            }
            black_box(sum);
            raw.push(sealed / start.elapsed().as_secs_f64());
        }
        black_box(total);
        let name = format!("sequential read, 1 KiB records, decoded and checked, {name}");
        row_rate(&name, "pread loop that sums the bytes", &ours, &raw, gigabytes);
    }
}

/// One record by its offset, beside a `pread` of 4 KiB at a random place.
fn lookup() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 64 << 20, tail_cache_bytes: 0, ..LogConfig::default() };
    let mut log = open(dir.path(), config, ReadMode::Read);
    let batch = batch_of(4 << 10, 1 << 10);
    while log.log().size() < 256 << 20 {
        log.append(NOW, &batch).unwrap();
    }
    let end = log.log().log_end_offset().get();
    let file = File::open(dir.path().join("t-0/00000000000000000000.log")).unwrap();
    let len = file.metadata().unwrap().len() - 4096;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    // Once around, so that both find their pages and blocks seen.
    read_all(&mut log);
    for number in 0..20_000u64 {
        let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ours.push(timed(|| {
            let wanted = Offset::new(place % end);
            let fetched = log.read(wanted, 1, Isolation::HighWatermark).unwrap();
            let records = fetched.batches[0].records(DecompressLimit::default()).unwrap();
            let found = records.iter().map(Result::unwrap).find(|record| record.offset == wanted).unwrap();
            black_box(found.value.map(<[u8]>::len));
        }));
        raw.push(timed(|| {
            file.read_exact_at(&mut buffer, place % len).unwrap();
            black_box(buffer[0]);
        }));
    }
    row_time("one record by its offset, p50", "pread of 4 KiB", &ours, &raw);
}

/// Building and parsing batches, beside `memcpy` of the same bytes.
fn batch() {
    for record_bytes in [100, 1 << 10] {
        let value = vec![7; record_bytes];
        let record = NewRecord { timestamp: NOW, key: None, value: Some(&value), headers: &[] };
        let count = (64 << 10) / record_bytes;
        let build = || {
            let mut builder = BatchBuilder::with_capacity(Codec::None, 66 << 10);
            for _ in 0..count {
                builder.push(&record).unwrap();
            }
            builder.build().unwrap()
        };
        let built = build().to_bytes();
        let parse = || {
            let batch = Batch::parse(&built).unwrap();
            let records = batch.records(DecompressLimit::default()).unwrap();
            records.iter().map(|record| record.unwrap().value.map_or(0, <[u8]>::len)).sum::<usize>()
        };
        let mut target = vec![0u8; built.len()];
        let (mut builds, mut parses, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2_000 {
            builds.push(timed(|| drop(black_box(build()))));
            parses.push(timed(|| {
                black_box(parse());
            }));
            copies.push(timed(|| {
                target.copy_from_slice(black_box(&built));
                black_box(&target);
            }));
        }
        for (what, times) in [("build", &builds), ("parse, check and decode", &parses)] {
            let (ours, raw) = (median(times), median(&copies));
            println!(
                "| {what} a 64 KiB batch of {record_bytes} B records | {:.0} ns a record, {:.1} GB/s | memcpy {:.1} GB/s | {:.2} |",
                ours * 1e9 / count as f64,
                built.len() as f64 / ours / 1e9,
                built.len() as f64 / raw / 1e9,
                raw / ours,
            );
        }
    }
}

/// The check of every byte at an opening without a mark, beside reading the same file.
fn recovery_scan() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 1 << 30, ..LogConfig::default() };
    let (log, total) = filled(dir.path(), config.clone(), ReadMode::Read, 512 << 20);
    drop(log);
    let file = File::open(dir.path().join("t-0/00000000000000000000.log")).unwrap();
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let _ = std::fs::remove_file(dir.path().join("ottla-flushed-marks"));
        let start = Instant::now();
        drop(black_box(open(dir.path(), config.clone(), ReadMode::Read)));
        ours.push(total as f64 / start.elapsed().as_secs_f64());
        let mut buffer = vec![0; 1 << 20];
        let start = Instant::now();
        let mut at = 0;
        while let Ok(read @ 1..) = file.read_at(&mut buffer, at) {
            at += read as u64;
        }
        black_box(&buffer);
        raw.push(total as f64 / start.elapsed().as_secs_f64());
    }
    row_rate("check of every byte at an opening without a mark", "pread of the same file", &ours, &raw, gigabytes);
}

/// Opening after a kill: flat in the size of the log.
fn open_after_kill() {
    for (size, name) in [(64u64 << 20, "64 MiB"), (2 << 30, "2 GiB")] {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig::default();
        let (mut log, _) = filled(dir.path(), config.clone(), ReadMode::Read, size);
        log.flush().unwrap();
        let batch = batch_of(64 << 10, 1 << 10);
        for _ in 0..16 {
            log.append(NOW, &batch).unwrap();
        }
        // A dropped log is a killed one: the page cache stays, nothing is noted.
        drop(log);
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(timed(|| drop(black_box(open(dir.path(), config.clone(), ReadMode::Read)))));
        }
        println!("| open {name} after a kill, 1 MiB behind the last flush | {:.2} ms | – | – |", median(&times) * 1e3);
    }
}

/// Opening many partitions, one after the other.
fn open_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path()).unwrap();
    let batch = batch_of(4 << 10, 1 << 10);
    let names: Vec<TopicPartition> = (0..2_000).map(|n| TopicPartition::parse(&format!("t-{n}")).unwrap()).collect();
    let mut logs = ottla::disk::LogDir::open(disk).unwrap();
    for name in &names {
        let (mut log, _) = LogFile::open_in(logs, name, OpenOptions::default(), NOW).unwrap();
        log.append(NOW, &batch).unwrap();
        log.flush().unwrap();
        logs = log.leave();
    }
    drop(logs);
    let disk = FileDisk::open(dir.path()).unwrap();
    let start = Instant::now();
    let mut logs = ottla::disk::LogDir::open(disk).unwrap();
    for name in &names {
        let (log, report) = LogFile::open_in(logs, name, OpenOptions::default(), NOW).unwrap();
        assert!(report.corrupt.is_empty());
        logs = log.leave();
    }
    let each = start.elapsed().as_secs_f64() / names.len() as f64;
    println!("| open 2,000 partitions after a kill | {:.0} ms, {:.0} µs each | – | – |", each * 2e6, each * 1e6);
}

fn open(path: &Path, config: LogConfig, read_mode: ReadMode) -> LogFile<FileDisk> {
    let options = OpenOptions { config, read_mode, ..OpenOptions::default() };
    let partition = TopicPartition::parse("t-0").unwrap();
    LogFile::open(FileDisk::open(path).unwrap(), &partition, options, NOW).unwrap().0
}

fn filled(path: &Path, config: LogConfig, mode: ReadMode, bytes: u64) -> (LogFile<FileDisk>, u64) {
    let mut log = open(path, config, mode);
    let batch = batch_of(64 << 10, 1 << 10);
    while log.log().size() < bytes {
        log.append(NOW, &batch).unwrap();
    }
    let total = log.log().size();
    (log, total)
}

fn read_all<D: Disk>(log: &mut LogFile<D>) -> u64 {
    let (mut from, mut bytes, mut records) = (Offset::ZERO, 0u64, 0u64);
    loop {
        let fetched = log.read(from, 1 << 20, Isolation::HighWatermark).unwrap();
        let Some(last) = fetched.batches.last() else { break };
        for entry in &fetched.batches {
            bytes += u64::from(entry.size());
            let decoded = entry.records(DecompressLimit::default()).unwrap();
            records += decoded.iter().map(|record| record.unwrap().value.map_or(0, |_| 1)).sum::<u64>();
        }
        from = last.next_offset();
    }
    black_box(records);
    bytes
}

/// A batch of about `bytes` bytes in records of `record_bytes`.
fn batch_of(bytes: usize, record_bytes: usize) -> Batch {
    let value: Vec<u8> = (0..record_bytes - 12).map(|n| (n * 31) as u8).collect();
    let mut builder = BatchBuilder::with_capacity(Codec::None, bytes + 1024);
    let record = NewRecord { timestamp: NOW, key: None, value: Some(&value), headers: &[] };
    while builder.size() + record_bytes <= bytes || builder.is_empty() {
        builder.push(&record).unwrap();
    }
    let batch = builder.build().unwrap();
    Batch::parse(&Bytes::from(batch.to_bytes().to_vec())).unwrap()
}

fn gigabytes(rate: f64) -> String {
    format!("{:.2} GB/s", rate / 1e9)
}
