//! The sums of a segment that grows.

use std::ops::Range;

use crate::disk::sums::{BLOCK_BYTES, IndexSums, LOG_BYTES_MAX, Sums, block_range};
use crate::log::SegmentFacts;

/// Sums up a segment while it grows.
///
/// Give it every byte that is appended, in order; stamps and bodies of batches are pieces like any other.
#[derive(Clone, Debug)]
pub struct SumsBuilder {
    len: u32,
    /// Of each whole block; `None` where the builder has not seen all of its bytes.
    blocks: Vec<Option<u32>>,
    /// Of the front of the last block, `None` where it has not seen all of that.
    last: Option<crc32fast::Hasher>,
}

impl Default for SumsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a builder did not do what it was told. It is as it was before.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SumsBuilderError {
    /// A log has at most 2 GiB.
    #[error("{len} bytes and {more} more are too many for a log")]
    TooLong {
        /// How many there are.
        len: u32,
        /// How many were to come.
        more: u64,
    },
    /// A truncation cannot lengthen the log.
    #[error("cannot be truncated to {to} bytes, there are {len}")]
    BehindTheEnd {
        /// How many there are.
        len: u32,
        /// How many were to be left.
        to: u32,
    },
    /// The bytes given are not those of the block, by their number.
    #[error("{found} bytes of block {block} were given, {expected} are due")]
    BlockBytes {
        /// Which block.
        block: u32,
        /// How many were given.
        found: u64,
        /// How many it has.
        expected: u32,
    },
    /// Some blocks were never seen: see [`SumsBuilder::missing`].
    #[error("block {block} was never seen")]
    Missing {
        /// The first of them.
        block: u32,
    },
}

impl SumsBuilder {
    /// For an empty log.
    pub fn new() -> Self {
        Self { len: 0, blocks: Vec::new(), last: Some(crc32fast::Hasher::new()) }
    }

    /// For a log that has `len` bytes already, none of which has been seen: they are [`missing`](Self::missing).
    ///
    /// # Errors
    ///
    /// [`SumsBuilderError::TooLong`].
    pub fn resumed(len: u32) -> Result<Self, SumsBuilderError> {
        if len > LOG_BYTES_MAX {
            return Err(SumsBuilderError::TooLong { len: 0, more: u64::from(len) });
        }
        let last = len.is_multiple_of(BLOCK_BYTES).then(crc32fast::Hasher::new);
        Ok(Self { len, blocks: vec![None; (len / BLOCK_BYTES) as usize], last })
    }

    /// For a log that has `len` bytes, the front of which `sums` has seen. What lies behind that is missing.
    ///
    /// # Errors
    ///
    /// [`SumsBuilderError::TooLong`]; [`SumsBuilderError::BehindTheEnd`] if the log is shorter than what was summed up.
    pub fn resumed_from(sums: &Sums, len: u32) -> Result<Self, SumsBuilderError> {
        if sums.log_len > len {
            return Err(SumsBuilderError::BehindTheEnd { len, to: sums.log_len });
        }
        let mut builder = Self::resumed(len)?;
        let whole = (sums.log_len / BLOCK_BYTES) as usize;
        for (known, sum) in builder.blocks.iter_mut().zip(&sums.blocks[..whole]) {
            *known = Some(*sum);
        }
        if sums.log_len == len
            && let Some(sum) = sums.blocks.get(whole)
        {
            let seen = u64::from(len % BLOCK_BYTES);
            builder.last = Some(crc32fast::Hasher::new_with_initial_len(*sum, seen));
        }
        Ok(builder)
    }

    /// How many bytes the log has.
    pub fn log_len(&self) -> u32 {
        self.len
    }

    /// Takes the next bytes of the log.
    ///
    /// # Errors
    ///
    /// [`SumsBuilderError::TooLong`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SumsBuilderError> {
        let more = bytes.len() as u64;
        if u64::from(self.len) + more > u64::from(LOG_BYTES_MAX) {
            return Err(SumsBuilderError::TooLong { len: self.len, more });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BLOCK_BYTES - self.len % BLOCK_BYTES;
            let (front, behind) = rest.split_at(rest.len().min(room as usize));
            if let Some(last) = &mut self.last {
                last.update(front);
            }
            self.len += front.len() as u32;
            if self.len.is_multiple_of(BLOCK_BYTES) {
                let whole = self.last.replace(crc32fast::Hasher::new());
                self.blocks.push(whole.map(crc32fast::Hasher::finalize));
            }
            rest = behind;
        }
        Ok(())
    }

    /// Cuts the log to `len` bytes. `tail` are the bytes from the last block border up to there: at most one block.
    ///
    /// # Errors
    ///
    /// [`SumsBuilderError::BehindTheEnd`]; [`SumsBuilderError::BlockBytes`] if `tail` is too long or too short.
    pub fn truncate_to(&mut self, len: u32, tail: &[u8]) -> Result<(), SumsBuilderError> {
        if len > self.len {
            return Err(SumsBuilderError::BehindTheEnd { len: self.len, to: len });
        }
        let expected = len % BLOCK_BYTES;
        if tail.len() as u64 != u64::from(expected) {
            return Err(SumsBuilderError::BlockBytes { block: len / BLOCK_BYTES, found: tail.len() as u64, expected });
        }
        let mut last = crc32fast::Hasher::new();
        last.update(tail);
        self.blocks.truncate((len / BLOCK_BYTES) as usize);
        self.last = Some(last);
        self.len = len;
        Ok(())
    }

    /// The blocks that have not been seen whole, in order.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        let last = self.last.is_none().then_some(self.blocks.len() as u32);
        let unseen = (0..).zip(&self.blocks).filter(|(_, sum)| sum.is_none()).map(|(block, _)| block);
        unseen.chain(last)
    }

    /// The bytes of a block so far; empty past the last.
    pub fn range(&self, block: u32) -> Range<u32> {
        block_range(self.len, block)
    }

    /// Takes the bytes of a block that was missing; of the last block, all there are so far.
    ///
    /// # Errors
    ///
    /// [`SumsBuilderError::BlockBytes`] if they are too many or too few.
    pub fn fill(&mut self, block: u32, bytes: &[u8]) -> Result<(), SumsBuilderError> {
        let range = self.range(block);
        let (found, expected) = (bytes.len() as u64, range.end - range.start);
        if found != u64::from(expected) {
            return Err(SumsBuilderError::BlockBytes { block, found, expected });
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes);
        let block = block as usize;
        if block == self.blocks.len() {
            self.last = Some(hasher);
        } else if let Some(sum) = self.blocks.get_mut(block) {
            *sum = Some(hasher.finalize());
        }
        Ok(())
    }

    /// The sums of the log as it is now.
    ///
    /// # Errors
    ///
    /// [`SumsBuilderError::Missing`] if some block has not been seen whole.
    pub fn finish(&self, facts: SegmentFacts, indexes: IndexSums) -> Result<Sums, SumsBuilderError> {
        if let Some(block) = self.missing().next() {
            return Err(SumsBuilderError::Missing { block });
        }
        let mut blocks: Vec<u32> = self.blocks.iter().copied().flatten().collect();
        if !self.len.is_multiple_of(BLOCK_BYTES) {
            blocks.extend(self.last.clone().map(crc32fast::Hasher::finalize));
        }
        Ok(Sums { log_len: self.len, facts, blocks, indexes })
    }
}
