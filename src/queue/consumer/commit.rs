//! Committing: noting in the name of the group how far it has come, and asking how far that is.

use std::collections::BTreeMap;

use crate::consumer::Acknowledged;
use crate::id::{GroupId, TopicPartition};
use crate::message::{
    CommitPartition, Committed, ErrorCode, OffsetCommit, OffsetFetch, PartitionAnswer, Pending, Request, RequestError,
    Response,
};
use crate::offset::Offset;
use crate::queue::consumer::acknowledge::Book;
use crate::queue::consumer::inbox::{WaitFor, Waited};
use crate::queue::consumer::{Acknowledger, CommitError, Consumer, Receipt};
use crate::time::Instant;

impl Consumer {
    /// Commits the positions: all that was handed out is done. It returns when that is on disk, flushed: no crash and no power
    /// loss takes it back. Commits of several consumers at a time share a flush.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Partitions that were not refused may be committed all the same.
    pub fn commit(&mut self) -> Result<(), CommitError> {
        self.look(self.now());
        let positions = &self.asking.positions;
        let each = positions.partitions().filter_map(|of| Some((of.clone(), positions.committable(of)?)));
        let offsets: Vec<_> = each.collect();
        self.commit_offsets(offsets)
    }

    /// Commits these offsets: of each partition, that of the next record to be consumed. Positions do not move. It returns
    /// when that is flushed.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Partitions that were not refused may be committed all the same.
    pub fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, Committed)>,
    ) -> Result<(), CommitError> {
        let group = self.asking.group().cloned().ok_or(CommitError::NoGroup)?;
        let mut left: Vec<_> = offsets.into_iter().collect();
        let until = self.now().after(self.request_timeout_ms);
        let mut refused = Vec::new();
        while !left.is_empty() {
            let answers = self.ask_commit(&group, &left, until)?;
            let mut passing = Vec::new();
            for (asked, answer) in left.into_iter().zip(answers) {
                match answer {
                    Ok(()) => {}
                    Err(error) if is_worth_waiting(&error) && self.now() < until => passing.push(asked),
                    Err(error) => refused.push((asked.0, error)),
                }
            }
            left = passing;
            if !left.is_empty() {
                self.back_off(until)?;
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(CommitError::Refused { refused }) }
    }

    fn ask_commit(
        &mut self,
        group: &GroupId,
        offsets: &[(TopicPartition, Committed)],
        until: Instant,
    ) -> Result<Vec<Result<(), RequestError>>, CommitError> {
        let each = offsets.iter().map(|(partition, committed)| CommitPartition {
            partition: partition.clone(),
            committed: committed.clone(),
        });
        let request = OffsetCommit { group: group.clone(), member: None, partitions: each.collect() };
        let Response::OffsetCommit(answers) = self.call(Request::OffsetCommit(request), until)? else {
            return Ok(offsets.iter().map(|_| Err(not_an_answer())).collect());
        };
        Ok(in_order(offsets.iter().map(|(of, _)| of), answers))
    }

    /// What the group has committed in these partitions; a partition where it has committed nothing is left out.
    ///
    /// # Errors
    ///
    /// [`CommitError`].
    pub fn committed(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Committed>, CommitError> {
        let group = self.asking.group().cloned().ok_or(CommitError::NoGroup)?;
        let mut left: Vec<_> = partitions.into_iter().collect();
        let until = self.now().after(self.request_timeout_ms);
        let (mut found, mut refused) = (BTreeMap::new(), Vec::new());
        while !left.is_empty() {
            let answers = self.ask_committed(&group, &left, until)?;
            let mut passing = Vec::new();
            for (asked, answer) in left.into_iter().zip(answers) {
                match answer {
                    Ok(None) => {}
                    Ok(Some(committed)) => drop(found.insert(asked, committed)),
                    Err(error) if is_worth_waiting(&error) && self.now() < until => passing.push(asked),
                    Err(error) => refused.push((asked, error)),
                }
            }
            left = passing;
            if !left.is_empty() {
                self.back_off(until)?;
            }
        }
        if refused.is_empty() { Ok(found) } else { Err(CommitError::Refused { refused }) }
    }

    fn ask_committed(
        &mut self,
        group: &GroupId,
        partitions: &[TopicPartition],
        until: Instant,
    ) -> Result<Vec<Result<Option<Committed>, RequestError>>, CommitError> {
        let request =
            OffsetFetch { group: group.clone(), partitions: Some(partitions.to_vec()), pending: Pending::Refuse };
        let Response::OffsetFetch(answers) = self.call(Request::OffsetFetch(request), until)? else {
            return Ok(partitions.iter().map(|_| Err(not_an_answer())).collect());
        };
        Ok(match answers {
            Ok(answers) => in_order(partitions.iter(), answers),
            Err(error) => partitions.iter().map(|_| Err(error.clone())).collect(),
        })
    }

    /// Notes that a record is done, in any order: see [`Consumer::commit_acknowledged`]. Other threads do the same with an
    /// [`Acknowledger`].
    ///
    /// Answers [`Acknowledged::NotOutstanding`] where nothing is noted, because the consumer is not configured to.
    pub fn ack(&mut self, receipt: &Receipt) -> Acknowledged {
        self.book.as_ref().map_or(Acknowledged::NotOutstanding, |book| book.ack(receipt))
    }

    /// What other threads acknowledge with; `None` if the consumer is not configured to note acknowledgements.
    pub fn acknowledger(&self) -> Option<Acknowledger> {
        self.book.as_ref().map(Book::lend)
    }

    /// The records of a partition that were handed out and are not acknowledged, in order: to be read again after a worker
    /// has died.
    pub fn unacknowledged(&self, partition: &TopicPartition) -> Vec<Offset> {
        self.book.as_ref().map_or_else(Vec::new, |book| book.pending(partition))
    }

    /// Commits in each partition the offset below which all is acknowledged. It returns when that is flushed.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Partitions that were not refused may be committed all the same.
    pub fn commit_acknowledged(&mut self) -> Result<(), CommitError> {
        self.look(self.now());
        let book = self.book.as_ref().ok_or(CommitError::NoLedger)?;
        let done = book.committable(|partition| self.asking.positions.position(partition));
        self.commit_offsets(done.into_iter().map(|(partition, offset)| (partition, Committed::at(offset))))
    }

    /// Asks, and waits for the answer.
    fn call(&mut self, request: Request, until: Instant) -> Result<Response<crate::broker::Body>, CommitError> {
        let question = self.asking.call(request);
        loop {
            self.asking.receive();
            if let Some(answer) = self.asking.take_called(question) {
                return answer.map_err(|_stopped| CommitError::Closed);
            }
            if self.wait(WaitFor::Answers, self.now(), until) == Waited::TimedOut {
                self.asking.cancel(question);
                return Err(CommitError::TimedOut { timeout_ms: self.request_timeout_ms });
            }
        }
    }

    /// Lets some time go by before something is asked again.
    fn back_off(&mut self, until: Instant) -> Result<(), CommitError> {
        let again = self.now().after(self.retry_backoff_ms).min(until);
        while self.wait(WaitFor::Answers, self.now(), again) == Waited::Came {
            self.asking.receive();
            if self.asking.is_stopped {
                return Err(CommitError::Closed);
            }
        }
        Ok(())
    }
}

/// Whether the same may succeed in a moment. In one process it is known at once whether there is a partition, and a disk that
/// has failed stays so.
const fn is_worth_waiting(error: &RequestError) -> bool {
    error.is_retriable() && !matches!(error.code, ErrorCode::UnknownTopicOrPartition | ErrorCode::KafkaStorageError)
}

/// The answers in the order of the question.
fn in_order<'a, T>(
    asked: impl Iterator<Item = &'a TopicPartition>,
    answers: Vec<PartitionAnswer<T>>,
) -> Vec<Result<T, RequestError>> {
    let mut answers = answers.into_iter();
    let each = asked.map(|of| match answers.next() {
        Some(answer) if answer.of == *of => answer.result,
        Some(_) | None => Err(not_an_answer()),
    });
    each.collect()
}

fn not_an_answer() -> RequestError {
    RequestError::because(ErrorCode::UnknownServerError, "the answer is for another question")
}
