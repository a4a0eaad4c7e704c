//! A segment's files, seen by whoever has no log yet or reads past it: their names, a header, a scan of the batches.
//!
//! - May use: `log`'s scan, `record`'s header, and the seam.
//! - Must not know: what is to become of what was read.

use crate::disk::pool::Pool;
use crate::disk::{DiskError, DiskFile};
use crate::log::{Fed, FileName, Scan, ScanStart, Scanned};
use crate::offset::Offset;
use crate::record::Header;
use crate::time::Timestamp;

/// How many bytes are read at a time.
const CHUNK: u32 = 1 << 20;

/// The files that a segment may have.
pub(crate) fn segment_names(base: Offset) -> [FileName; 5] {
    [
        FileName::Log(base),
        FileName::OffsetIndex(base),
        FileName::TimeIndex(base),
        FileName::TxnIndex(base),
        FileName::Sums(base),
    ]
}

/// The header of the batch v2 at `position`, unchecked; `None` if there are fewer bytes or another format.
pub(crate) fn header_at<F: DiskFile>(file: &F, position: u32) -> Result<Option<Header>, DiskError> {
    let mut bytes = [0; Header::BYTES];
    if file.read_full(u64::from(position), &mut bytes)? < bytes.len() {
        return Ok(None);
    }
    Ok(Some(Header::decode(&bytes)).filter(|header| header.magic == 2))
}

/// The largest timestamp of a segment's first batch, from which its age counts.
pub(crate) fn first_timestamp<F: DiskFile>(file: &F) -> Result<Option<Timestamp>, DiskError> {
    Ok(header_at(file, 0)?.map(|header| Timestamp::from_millis(header.max_timestamp)))
}

/// Feeds a scan from a file.
pub(crate) fn scan_file<F: DiskFile>(file: &F, start: ScanStart, len: u32) -> Result<Scanned, DiskError> {
    let pool = Pool::default();
    let mut scan = Scan::new(start);
    let mut fed = scan.begin();
    while let Fed::More { from, min } = fed {
        let wanted = min.max(CHUNK).min(len.saturating_sub(from));
        let mut bytes = pool.take(wanted as usize);
        let read = file.read_full(u64::from(from), bytes.bytes_mut())?;
        let chunk = bytes.freeze(read);
        // A file that is shorter than it was a moment ago ends where it ends.
        let len = if read < wanted as usize { from.saturating_add(read as u32) } else { len };
        fed = scan.feed(&chunk, len);
        if read < wanted as usize {
            break;
        }
    }
    Ok(scan.finish())
}
