//! The real disk: what it refuses, what it locks, and that it answers as the test disk does.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "these tests arrange a real directory behind the back of the disk, and panic when they cannot"
)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use ottla::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskPath, EntryKind, FileDisk, MemDisk, OpenHow};
use ottla::time::Timestamp;
use proptest::prelude::*;

const EVERY_WAY: [OpenHow; 4] = [OpenHow::Read, OpenHow::Write, OpenHow::Create, OpenHow::Replace];

fn path(text: &str) -> DiskPath {
    DiskPath::parse(text).unwrap()
}

fn kind<T>(result: Result<T, DiskError>) -> DiskErrorKind {
    match result {
        Ok(_) => panic!("this was to be refused"),
        Err(error) => error.kind,
    }
}

fn fixture() -> (tempfile::TempDir, FileDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path()).unwrap();
    (dir, disk)
}

/// Everything below `dir`, with lengths, to prove that nothing has changed.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.path().symlink_metadata().unwrap();
        found.push(format!("{:?} {:?} {}", entry.path(), metadata.file_type(), metadata.len()));
        if metadata.is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[test]
fn a_root_must_be_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    assert_eq!(kind(FileDisk::open(&file)), DiskErrorKind::NotADirectory);
    assert_eq!(kind(FileDisk::open(file.join("below"))), DiskErrorKind::NotADirectory);
    assert_eq!(kind(FileDisk::open(dir.path().join("missing"))), DiskErrorKind::NotFound);
    make_fifo(&dir.path().join("pipe"));
    assert_eq!(kind(FileDisk::open(dir.path().join("pipe"))), DiskErrorKind::NotADirectory);
}

#[test]
fn a_root_may_be_a_symbolic_link_and_is_resolved_once() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let link = dir.path().join("link");
    symlink("one", &link).unwrap();
    let disk = FileDisk::open(&link).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("two", &link).unwrap();
    disk.open(&path("a"), OpenHow::Create).unwrap();
    assert!(dir.path().join("one/a").exists());
}

#[test]
fn a_moved_root_is_still_the_same_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("here")).unwrap();
    let disk = FileDisk::open(dir.path().join("here")).unwrap();
    fs::rename(dir.path().join("here"), dir.path().join("there")).unwrap();
    disk.open(&path("a"), OpenHow::Create).unwrap();
    assert!(dir.path().join("there/a").exists());
}

#[test]
fn no_symbolic_link_below_the_root_is_followed() {
    let (dir, disk) = fixture();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("a"), b"secret").unwrap();
    symlink(outside.path().join("a"), dir.path().join("file-link")).unwrap();
    symlink(outside.path(), dir.path().join("dir-link")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let before = (tree(dir.path()), tree(outside.path()));
    for how in EVERY_WAY {
        for name in ["file-link", "dir-link", "dangling", "dir-link/a", "dir-link/new"] {
            assert_eq!(kind(disk.open(&path(name), how)), DiskErrorKind::SymlinkRefused, "{name} {how:?}");
        }
    }
    assert_eq!(kind(disk.list(&path("dir-link"))), DiskErrorKind::SymlinkRefused);
    assert_eq!(kind(disk.sync_dir(&path("dir-link"))), DiskErrorKind::SymlinkRefused);
    assert_eq!(kind(disk.make_dir(&path("dir-link"))), DiskErrorKind::SymlinkRefused);
    assert_eq!(kind(disk.make_dir(&path("dir-link/b"))), DiskErrorKind::SymlinkRefused);
    assert_eq!(kind(disk.remove(&path("dir-link/a"))), DiskErrorKind::SymlinkRefused);
    assert_eq!(kind(disk.rename(&path("dir-link/a"), &path("b"))), DiskErrorKind::SymlinkRefused);
    assert_eq!(kind(disk.lock(&path("file-link"))), DiskErrorKind::SymlinkRefused);
    assert_eq!((tree(dir.path()), tree(outside.path())), before);
    let kinds: Vec<_> = disk.list(&DiskPath::root()).unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Symlink; 3]);
}

#[test]
fn what_is_no_regular_file_is_refused_and_nobody_waits_for_it() {
    let (dir, disk) = fixture();
    make_fifo(&dir.path().join("pipe"));
    assert!(dir.path().join("pipe").symlink_metadata().unwrap().file_type().is_fifo());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    let before = tree(dir.path());
    for how in EVERY_WAY {
        for name in ["pipe", "socket", "dir"] {
            assert_eq!(kind(disk.open(&path(name), how)), DiskErrorKind::NotRegularFile, "{name} {how:?}");
        }
    }
    assert_eq!(kind(disk.open(&DiskPath::root(), OpenHow::Read)), DiskErrorKind::NotRegularFile);
    assert_eq!(tree(dir.path()), before);
    let kinds: Vec<_> = disk.list(&DiskPath::root()).unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Dir, EntryKind::Other, EntryKind::Other]);
}

#[test]
fn a_device_is_refused() {
    if !Path::new("/dev/null").exists() {
        return;
    }
    let disk = FileDisk::open("/dev").unwrap();
    assert_eq!(kind(disk.open(&path("null"), OpenHow::Read)), DiskErrorKind::NotRegularFile);
}

#[test]
fn a_second_locker_is_refused_also_in_one_process() {
    let (dir, disk) = fixture();
    let lock = disk.lock(&path(".lock")).unwrap();
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::AlreadyLocked);
    let other = FileDisk::open(dir.path()).unwrap();
    assert_eq!(kind(other.lock(&path(".lock"))), DiskErrorKind::AlreadyLocked);
    drop(lock);
    other.lock(&path(".lock")).unwrap();
}

/// Tries the kind of lock that Kafka takes, from another process; `None` if nobody here can.
fn java_locks(file: &Path) -> Option<bool> {
    let script = "import fcntl,sys\ntry: fcntl.lockf(open(sys.argv[1],'r+'),fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept OSError: sys.exit(7)";
    let status = Command::new("python3").args(["-c", script]).arg(file).status().ok()?;
    match status.code() {
        Some(0) => Some(true),
        Some(7) => Some(false),
        _ => None,
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_kafka_broker_is_kept_out_and_keeps_us_out() {
    let (dir, disk) = fixture();
    let file = dir.path().join(".lock");
    fs::write(&file, b"").unwrap();
    let Some(free) = java_locks(&file) else {
        eprintln!("skipped: no python3 here to play the broker");
        return;
    };
    assert!(free);
    let lock = disk.lock(&path(".lock")).unwrap();
    assert_eq!(java_locks(&file), Some(false));
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::AlreadyLocked);
    assert_eq!(java_locks(&file), Some(false), "our own second try has not let the broker in");
    drop(lock);
    assert_eq!(java_locks(&file), Some(true));

    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\nsys.stdin.read()";
    let mut broker = Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = String::new();
    let told = broker.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(told), &mut held).unwrap();
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::AlreadyLocked);
    drop(broker.stdin.take());
    broker.wait().unwrap();
    disk.lock(&path(".lock")).unwrap();
}

#[test]
fn a_lock_file_left_behind_locks_nobody_out() {
    let (dir, disk) = fixture();
    fs::write(dir.path().join(".lock"), b"").unwrap();
    disk.lock(&path(".lock")).unwrap();
}

#[test]
fn a_directory_without_permission_is_refused() {
    let (dir, disk) = fixture();
    fs::write(dir.path().join("a"), b"x").unwrap();
    fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    if is_root() {
        eprintln!("skipped: root may read and write everything");
        return;
    }
    assert_eq!(kind(disk.open(&path("a"), OpenHow::Read)), DiskErrorKind::PermissionDenied);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(kind(disk.open(&path("b"), OpenHow::Create)), DiskErrorKind::PermissionDenied);
}

#[test]
fn space_that_is_not_there_cannot_be_reserved() {
    let (_dir, disk) = fixture();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    let refused = kind(file.reserve(1 << 60));
    // Some file systems say that a file cannot be so long before they look for space.
    assert!(matches!(refused, DiskErrorKind::NoSpace | DiskErrorKind::Io { .. }), "{refused:?}");
    assert_eq!(file.len().unwrap(), 0);
    assert!(disk.free_space().unwrap() > 0);
}

/// A file system of 64 KiB, for as long as this lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(&self, options: &str) {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0.path()).status();
        assert!(mount.unwrap().success(), "only root may mount");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "mounts a file system, which takes root: .ci/run runs it where it may"]
fn a_full_file_system_takes_what_fits_and_a_read_only_one_nothing() {
    let small = SmallDisk(tempfile::tempdir().unwrap());
    small.mount("size=64k");
    let disk = FileDisk::open(small.0.path()).unwrap();
    assert_eq!(disk.free_space().unwrap(), 65_536);
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    assert_eq!(kind(file.reserve(65_537)), DiskErrorKind::NoSpace);
    assert_eq!(disk.free_space().unwrap(), 65_536, "nothing is left half reserved");
    assert_eq!(kind(file.write_full(0, &[7; 70_000])), DiskErrorKind::NoSpace);
    assert_eq!(file.len().unwrap(), 65_536, "what fitted is there");
    assert_eq!(disk.free_space().unwrap(), 0);
    file.set_len(4096).unwrap();
    file.write_full(4096, &[8; 4096]).unwrap();
    drop(file);

    small.mount("remount,ro");
    for how in [OpenHow::Write, OpenHow::Create, OpenHow::Replace] {
        assert_eq!(kind(disk.open(&path("a"), how)), DiskErrorKind::ReadOnly, "{how:?}");
        assert!(matches!(kind(disk.open(&path("b"), how)), DiskErrorKind::ReadOnly | DiskErrorKind::NotFound));
    }
    assert_eq!(kind(disk.lock(&path(".lock"))), DiskErrorKind::ReadOnly);
    assert_eq!(kind(disk.remove(&path("a"))), DiskErrorKind::ReadOnly);
    assert_eq!(kind(disk.make_dir(&path("d"))), DiskErrorKind::ReadOnly);
    assert_eq!(disk.open(&path("a"), OpenHow::Read).unwrap().len().unwrap(), 8192);
}

#[test]
fn a_reservation_takes_space_and_leaves_the_length() {
    let (dir, disk) = fixture();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    file.reserve(1 << 20).unwrap();
    file.reserve(0).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().len(), 0);
}

#[test]
fn parts_are_written_one_behind_the_other() {
    let (_dir, disk) = fixture();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    let parts: Vec<Vec<u8>> = (0..3000_u32).map(|part| part.to_be_bytes()[..part as usize % 5 % 4].to_vec()).collect();
    let due = parts.concat();
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let mut written = file.write_at(3, &slices).unwrap();
    assert!(written > 0 && written <= due.len());
    while written < due.len() {
        written += file.write_at(3 + written as u64, &[&due[written..]]).unwrap();
    }
    let mut found = vec![9; due.len() + 10];
    assert_eq!(file.read_full(0, &mut found).unwrap(), due.len() + 3);
    assert_eq!(found[3..due.len() + 3], due);
    assert_eq!(file.write_at(0, &[]).unwrap(), 0);
    assert_eq!(file.write_at(0, &[b"", b""]).unwrap(), 0);
}

#[test]
fn a_map_is_the_file_and_never_more() {
    let (_dir, disk) = fixture();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    file.write_full(0, &[7; 5000]).unwrap();
    assert_eq!(file.map(5000).unwrap().unwrap(), [7; 5000][..]);
    assert_eq!(file.map(10).unwrap().unwrap(), [7; 10][..]);
    assert_eq!(file.map(0).unwrap().unwrap().len(), 0);
    assert_eq!(kind(file.map(5001)), DiskErrorKind::UnexpectedEnd);
    let map = file.map(5000).unwrap().unwrap();
    disk.open(&path("a"), OpenHow::Replace).unwrap().write_full(0, b"other").unwrap();
    disk.remove(&path("a")).unwrap();
    assert_eq!(map, [7; 5000][..], "whoever maps a file keeps its bytes");
}

#[test]
fn the_date_of_a_file_is_what_was_set() {
    let (_dir, disk) = fixture();
    let file = disk.open(&path("a"), OpenHow::Create).unwrap();
    for millis in [0, 1_700_000_000_123, -1, -1500] {
        file.set_modified(Timestamp::from_millis(millis)).unwrap();
        let listed = disk.list(&DiskPath::root()).unwrap();
        let due = EntryKind::File { len: 0, modified: Timestamp::from_millis(millis) };
        assert_eq!(listed[0].kind, due);
    }
}

#[test]
fn a_foreign_name_is_listed_as_it_is() {
    use std::os::unix::ffi::OsStrExt;
    let (dir, disk) = fixture();
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    if fs::write(dir.path().join(name), b"x").is_err() {
        eprintln!("skipped: this file system takes no such name");
        return;
    }
    assert_eq!(disk.list(&DiskPath::root()).unwrap()[0].name, name);
}

fn make_fifo(at: &Path) {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
}

/// One call, on one of a few names or one of a few handles.
#[derive(Clone, Debug)]
enum Call {
    Open(usize, OpenHow, usize),
    Close(usize),
    Rename(usize, usize),
    Remove(usize),
    MakeDir(usize),
    SyncDir(usize),
    List(usize),
    Lock(usize),
    Unlock,
    Read(usize, u64, usize),
    Write(usize, u64, Vec<u8>),
    Reserve(usize, u64),
    SetLen(usize, u64),
    Len(usize),
    Sync(usize),
    SetModified(usize, i64),
}

const NAMES: [&str; 9] = ["", "a", "b", "d", "d/a", "d/b", "e", "a/x", "d/e"];
const HANDLES: usize = 3;

fn call() -> impl Strategy<Value = Call> {
    let name = || 0..NAMES.len() + 1;
    let handle = || 0..HANDLES;
    let how = prop::sample::select(EVERY_WAY.to_vec());
    prop_oneof![
        6 => (handle(), how, name()).prop_map(|(handle, how, name)| Call::Open(handle, how, name)),
        1 => handle().prop_map(Call::Close),
        3 => (name(), name()).prop_map(|(from, to)| Call::Rename(from, to)),
        2 => name().prop_map(Call::Remove),
        3 => name().prop_map(Call::MakeDir),
        1 => name().prop_map(Call::SyncDir),
        3 => name().prop_map(Call::List),
        1 => name().prop_map(Call::Lock),
        1 => Just(Call::Unlock),
        4 => (handle(), 0..6000u64, 0..5000usize).prop_map(|(handle, at, len)| Call::Read(handle, at, len)),
        4 => (handle(), 0..6000u64, prop::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(handle, at, bytes)| Call::Write(handle, at, bytes)),
        1 => (handle(), 0..9000u64).prop_map(|(handle, len)| Call::Reserve(handle, len)),
        2 => (handle(), 0..6000u64).prop_map(|(handle, len)| Call::SetLen(handle, len)),
        1 => handle().prop_map(Call::Len),
        1 => handle().prop_map(Call::Sync),
        1 => (handle(), 0..2_000_000_000_000i64).prop_map(|(handle, to)| Call::SetModified(handle, to)),
    ]
}

/// What a user of the disk can see of these calls.
fn observe<D: Disk>(disk: &D, calls: &[Call]) -> Vec<String> {
    let mut handles: [Option<D::File>; HANDLES] = [None, None, None];
    let mut lock = None;
    let long = "n".repeat(256);
    let name = |index: usize| path(NAMES.get(index).copied().unwrap_or(&long));
    let mut seen = Vec::new();
    for call in calls {
        let on =
            |handle: usize, act: &dyn Fn(&D::File) -> String| handles[handle].as_ref().map_or("closed".into(), act);
        let answer = match call {
            Call::Open(handle, how, at) => match disk.open(&name(*at), *how) {
                Ok(file) => {
                    handles[*handle] = Some(file);
                    "ok".into()
                }
                Err(error) => refusal(&error),
            },
            Call::Close(handle) => format!("{}", handles[*handle].take().is_some()),
            Call::Rename(from, to) => told(disk.rename(&name(*from), &name(*to))),
            Call::Remove(at) => told(disk.remove(&name(*at))),
            Call::MakeDir(at) => told(disk.make_dir(&name(*at))),
            Call::SyncDir(at) => told(disk.sync_dir(&name(*at))),
            Call::List(at) => told(disk.list(&name(*at)).map(|entries| {
                let line = |entry: ottla::disk::Entry| match entry.kind {
                    EntryKind::File { len, .. } => format!("{:?} {len}", entry.name),
                    other @ (EntryKind::Dir | EntryKind::Symlink | EntryKind::Other) => {
                        format!("{:?} {other:?}", entry.name)
                    }
                };
                entries.into_iter().map(line).collect::<Vec<_>>()
            })),
            Call::Lock(at) => match disk.lock(&name(*at)) {
                Ok(held) => {
                    lock = Some(held);
                    "ok".into()
                }
                Err(error) => refusal(&error),
            },
            Call::Unlock => format!("{}", lock.take().is_some()),
            Call::Read(handle, at, len) => on(*handle, &|file| {
                let mut into = vec![0; *len];
                told(file.read_full(*at, &mut into).map(|read| into[..read].to_vec()))
            }),
            Call::Write(handle, at, bytes) => on(*handle, &|file| told(file.write_full(*at, bytes))),
            Call::Reserve(handle, len) => on(*handle, &|file| told(file.reserve(*len))),
            Call::SetLen(handle, len) => on(*handle, &|file| told(file.set_len(*len))),
            Call::Len(handle) => on(*handle, &|file| told(file.len())),
            Call::Sync(handle) => on(*handle, &|file| told(file.sync())),
            Call::SetModified(handle, to) => on(*handle, &|file| told(file.set_modified(Timestamp::from_millis(*to)))),
        };
        seen.push(format!("{call:?}: {answer}"));
    }
    seen
}

fn told<T: std::fmt::Debug>(done: Result<T, DiskError>) -> String {
    done.map_or_else(|error| refusal(&error), |done| format!("{done:?}"))
}

/// The kind of an error; for those that only the system can name, no more than that.
fn refusal(error: &DiskError) -> String {
    if matches!(error.kind, DiskErrorKind::Io { .. }) {
        return format!("{:?} refused by the system", error.call);
    }
    format!("{:?} {:?}", error.call, error.kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_disks_answer_alike(calls in prop::collection::vec(call(), 1..40)) {
        let (_dir, disk) = fixture();
        prop_assert_eq!(observe(&MemDisk::new(), &calls), observe(&disk, &calls));
    }
}

#[test]
fn a_whole_file_system_is_synced_or_that_is_refused_and_a_disk_in_memory_is_refused() {
    let (_dir, disk) = fixture();
    disk.open(&path("one"), OpenHow::Create).unwrap().write_full(0, b"one").unwrap();
    if let Err(error) = disk.sync_all() {
        assert_eq!(error.kind, DiskErrorKind::Unsupported);
    }
    // Where there is one: what is in memory alone is never durable.
    if let Ok(disk) = FileDisk::open("/dev/shm") {
        assert_eq!(kind(disk.sync_all()), DiskErrorKind::Unsupported);
    }
}
