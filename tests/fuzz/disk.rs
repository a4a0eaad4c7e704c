//! The disk's own files, from any bytes.

use ottla::disk::{MarkCopy, Marks, MarksError, Sums};

/// How long a copy of a mark is.
const COPY_BYTES: usize = 512;

/// Reads flushed marks, as they are and with their checksums made right. No panic; what is accepted is written back as
/// it was.
pub fn marks(data: &[u8]) {
    read_marks(data);
    let mut summed = data.to_vec();
    for copy in summed.chunks_mut(COPY_BYTES).filter(|copy| copy.len() > 4) {
        let crc = crc32fast::hash(&copy[4..]);
        copy[..4].copy_from_slice(&crc.to_be_bytes());
    }
    read_marks(&summed);
}

fn read_marks(data: &[u8]) {
    match Marks::parse(data) {
        Ok(marks) => {
            // One copy for each 512 bytes, whatever they say.
            let copies = data.len().div_ceil(COPY_BYTES);
            assert!(marks.iter().count() + marks.bad().len() <= copies, "more marks than copies");
        }
        Err(MarksError::UnsupportedFormat { found, max }) => assert!(found > max),
        Err(refused) => panic!("bytes alone cannot fail like this: {refused}"),
    }
    for (slot, copy) in (0..).zip(data.chunks(COPY_BYTES)) {
        if let Ok(Some(read)) = MarkCopy::parse(copy, slot) {
            assert_eq!(read.encode(), copy);
        }
    }
}

/// Reads the sums of a segment, as they are and with their checksum made right. No panic; what is accepted is written
/// back as it was.
pub fn sums(data: &[u8]) {
    read_sums(data);
    if let Some((body, _)) = data.split_last_chunk::<4>() {
        read_sums(&[body, &crc32fast::hash(body).to_be_bytes()].concat());
    }
}

fn read_sums(data: &[u8]) {
    let Ok(sums) = Sums::parse(data) else { return };
    assert_eq!(sums.encode(), data);
    for block in 0..sums.block_count() {
        let range = sums.range(block);
        assert!(range.start < range.end && range.end <= sums.log_len());
        assert_eq!(sums.block_at(range.start), Some(block));
    }
}
