//! A progress bar, where it helps: on a terminal that does not show the output itself, for what takes long.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// What takes longer than this many bytes is worth a bar.
const WORTH_BYTES: u64 = 64 << 20;

/// How far a command has come with one file.
pub(crate) struct Progress {
    name: String,
    is_wanted: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// No bar yet: one appears when there turns out to be enough to do.
    pub(crate) fn new(name: &str, output_is_terminal: bool) -> Self {
        let is_wanted = !output_is_terminal && std::io::stderr().is_terminal();
        Self { name: name.to_owned(), is_wanted, bar: None }
    }

    /// A bar also where output is a terminal: what is printed there is only now and then a line.
    pub(crate) fn always(name: &str) -> Self {
        Self::new(name, false)
    }

    /// Never a bar.
    pub(crate) fn hidden() -> Self {
        Self { name: String::new(), is_wanted: false, bar: None }
    }

    /// `position` of `end` bytes are done.
    pub(crate) fn at(&mut self, position: u64, end: u64) {
        if !self.is_wanted || end < WORTH_BYTES {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(&self.name));
        bar.set_length(end);
        bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}");
    let bar = ProgressBar::new(0).with_message(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
