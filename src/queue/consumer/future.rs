//! Polling as a future and as a stream, by whatever runtime.
//!
//! A future that is dropped before it is ready has handed out nothing, so no record is lost by it. Reading from files is done
//! by the thread that polls, as everywhere.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::queue::consumer::inbox::Waited;
use crate::queue::consumer::{ConsumeError, Consumer, OwnedRecord, Records};

/// Records, once there are any: see [`Consumer::poll_async`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct PollAsync<'a> {
    consumer: &'a mut Consumer,
}

/// Record after record: see [`Consumer::stream`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct RecordStream<'a> {
    consumer: &'a mut Consumer,
    has_ended: bool,
}

impl Consumer {
    /// The same as [`Consumer::poll`] as a future, which waits without an end. Whoever wants one drops it. It waits for
    /// acknowledgements as [`Consumer::tail`] does.
    pub fn poll_async(&mut self) -> PollAsync<'_> {
        PollAsync { consumer: self }
    }

    /// The same as [`Consumer::tail`] as a stream.
    pub fn stream(&mut self) -> RecordStream<'_> {
        RecordStream { consumer: self, has_ended: false }
    }

    fn poll_turn(&mut self, context: &Context<'_>, records_max: u32) -> Poll<Result<Records, ConsumeError>> {
        loop {
            if let Some(records) = self.turn(records_max)? {
                return Poll::Ready(Ok(records));
            }
            if !self.deleted.is_empty() {
                continue;
            }
            self.check_stuck()?;
            let at = self.next_turn(self.now());
            if self.asking.inbox().register(context.waker(), at) == Waited::TimedOut {
                at.into_iter().for_each(|at| self.asking.client().hurry(at));
                return Poll::Pending;
            }
        }
    }
}

impl Future for PollAsync<'_> {
    type Output = Result<Records, ConsumeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let records_max = self.consumer.records_max;
        self.consumer.poll_turn(context, records_max)
    }
}

impl Stream for RecordStream<'_> {
    type Item = Result<OwnedRecord, ConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        match self.consumer.poll_turn(context, 1) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(ConsumeError::Closed | ConsumeError::WokenUp)) => {
                self.has_ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            // A turn that answers records has one.
            Poll::Ready(Ok(records)) => Poll::Ready(records.into_iter().next().map(Ok)),
        }
    }
}
