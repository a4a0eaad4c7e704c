//! The disk's own files, from any bytes.

use ottla::disk::{MarkCopy, Marks, MarksError, Sums};

/// Reads flushed marks. No panic; what is accepted is written back as it was.
pub fn marks(bytes: &[u8]) {
    match Marks::parse(bytes) {
        Ok(marks) => {
            // One copy for each 512 bytes, whatever they say.
            let copies = bytes.len().div_ceil(512);
            assert!(marks.iter().count() + marks.bad().len() <= copies, "more marks than copies");
        }
        Err(MarksError::UnsupportedFormat { found, max }) => assert!(found > max),
        Err(refused) => panic!("bytes alone cannot fail like this: {refused}"),
    }
    for (slot, copy) in (0..).zip(bytes.chunks(512)) {
        if let Ok(Some(read)) = MarkCopy::parse(copy, slot) {
            assert_eq!(read.encode(), copy);
        }
    }
}

/// Reads the sums of a segment. No panic; what is accepted is written back as it was.
pub fn sums(bytes: &[u8]) {
    let Ok(sums) = Sums::parse(bytes) else { return };
    assert_eq!(sums.encode(), bytes);
    for block in 0..sums.block_count() {
        let range = sums.range(block);
        assert!(range.start < range.end && range.end <= sums.log_len());
        assert_eq!(sums.block_at(range.start), Some(block));
    }
}
