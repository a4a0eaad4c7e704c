//! What is known of a log before it is looked at, and whom to believe.
//!
//! - May use: `log`'s mark, and the list of what is there.
//! - Must not know: the disk.

use crate::disk::open::files::Files;
use crate::disk::report::Shutdown;
use crate::log::FlushedMark;
use crate::offset::Offset;

/// What is known of a log before it is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// What was flushed when the mark was last written; `None` if there is none that counts.
    pub(crate) mark: Option<FlushedMark>,
    /// Whether whoever had the directory last says that all was closed.
    pub(crate) clean: bool,
    /// Whether that was us, and not Kafka.
    pub(crate) closed_by_us: bool,
    /// Kafka's recovery point: up to where it had flushed.
    pub(crate) recovery_point: Option<Offset>,
    /// Kafka's log start; our mark has its own.
    pub(crate) log_start_offset: Option<Offset>,
    /// Kafka's high watermark; the later of the two counts.
    pub(crate) high_watermark: Option<Offset>,
}

impl Known {
    /// The first readable offset, as far as anyone wrote it down. Our mark has a checksum, Kafka's text has none.
    pub(super) fn start(&self) -> Offset {
        let marked = self.mark.map(|mark| mark.log_start_offset);
        marked.or(self.log_start_offset).unwrap_or(Offset::ZERO)
    }

    /// The high watermark, as far as anyone wrote it down.
    pub(super) fn high_watermark(&self) -> Offset {
        let marked = self.mark.map(|mark| mark.high_watermark);
        marked.max(self.high_watermark).unwrap_or(Offset::ZERO)
    }

    /// How the log was left, and so whom to believe: a mark that counts for nothing is forgotten.
    ///
    /// Whoever closes a directory leaves the clean-shutdown file, and it is deleted at every opening. If it is there and
    /// our mark does not fit what is there, Kafka has had the directory since, or something was changed: the mark counts
    /// for nothing then, and what the file vouches for is looked at. If it is not there, whoever had the directory last
    /// has died; a recovery point above our mark shows that it was Kafka.
    pub(super) fn judge(&mut self, files: &Files) -> Shutdown {
        let Some(mark) = self.mark else {
            return if self.clean { Shutdown::Clean } else { Shutdown::Unclean };
        };
        let last = files.logs.last_key_value();
        let fits = last.is_some_and(|(base, log)| *base == mark.segment && log.len == u64::from(mark.position));
        let place = last.map(|(base, log)| (*base, log.len));
        match (self.clean, mark.clean && fits && self.closed_by_us) {
            (true, true) => Shutdown::Clean,
            (true, false) => {
                self.mark = None;
                Shutdown::CleanButChanged
            }
            (false, _) => {
                // A recovery point has no checksum: what it says of more records counts if there are more bytes.
                let longer = place > Some((mark.segment, u64::from(mark.position)));
                if self.recovery_point > Some(mark.offset) && longer {
                    self.mark = None;
                }
                Shutdown::Unclean
            }
        }
    }
}
