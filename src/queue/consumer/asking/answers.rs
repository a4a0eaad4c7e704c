//! What becomes of the answers: taken from the inbox, read where there is memory for it, and handed out.

use crate::broker::Body;
use crate::consumer::{AskId, Pause, PollError, Polled};
use crate::message::{Answer, ErrorCode, Fetched, PartitionAnswer, RequestError, Response};
use crate::queue::consumer::asking::{Asked, Asking, What};
use crate::queue::consumer::inbox::Arrival;
use crate::time::Instant;

impl Asking {
    /// Takes what has come.
    pub(in crate::queue::consumer) fn receive(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        if self.inbox.take(&mut arrivals) {
            self.next_probe = Instant::ZERO;
        }
        if !arrivals.is_empty() {
            let now = self.client.now();
            for arrival in arrivals.drain(..) {
                self.on_arrival(now, arrival);
            }
        }
        self.arrivals = arrivals;
        self.look_for_room();
    }

    /// What there is no memory for is not asked for.
    pub(in crate::queue::consumer) fn look_for_room(&mut self) {
        let fetching = if self.room.is_short() { Pause::Paused } else { Pause::Running };
        self.positions.set_fetching(fetching);
    }

    fn on_arrival(&mut self, now: Instant, arrival: Arrival) {
        let Some(open) = self.open.remove(&arrival.question) else { return };
        self.is_stopped |= arrival.answer.is_err();
        if let What::Call = open.what {
            self.called = Some((arrival.question, arrival.answer));
            return;
        }
        let Ok(response) = arrival.answer else { return };
        match (open.what, response) {
            (What::Batches(asked), Response::Fetch(answers)) => {
                each(asked, answers, |id, answer| self.on_fetched(now, id, answer));
            }
            (What::Offsets(asked), Response::ListOffsets(answers)) => {
                each(asked, answers, |id, answer| self.positions.listed(now, id, answer));
            }
            (What::Committed(asked), Response::OffsetFetch(Ok(answers))) => {
                each(asked, answers, |id, answer| self.positions.resumed(now, id, answer));
            }
            (What::Committed(asked), Response::OffsetFetch(Err(error))) => {
                asked.iter().for_each(|asked| self.positions.resumed(now, asked.id, Err(error.clone())));
            }
            (What::Batches(asked), _) => each(asked, vec![], |id, answer| self.on_fetched(now, id, answer)),
            (What::Offsets(asked), _) => each(asked, vec![], |id, answer| self.positions.listed(now, id, answer)),
            (What::Committed(asked), _) => each(asked, vec![], |id, answer| self.positions.resumed(now, id, answer)),
            (What::Call | What::Probe, _) => {}
        }
    }

    fn on_fetched(&mut self, now: Instant, id: AskId, answer: Result<Fetched<Body>, RequestError>) {
        match answer {
            Err(error) => self.positions.fetched(now, id, Err(error)),
            Ok(fetched) => match &fetched.body {
                Body::Nothing => self.positions.fetched(now, id, Ok(fetched.map(|_| Vec::new()))),
                Body::Batches(_) => {
                    if let Err(fetched) = self.read(now, id, fetched) {
                        // What is in memory anyway is not kept there by the one who waits: it is asked for again.
                        self.positions.fetched(now, id, Ok(fetched.map(|_| Vec::new())));
                    }
                }
                Body::File(_) => self.unread.push_back((id, fetched)),
            },
        }
    }

    /// Reads an answer, if there is memory for it; gives it back if not.
    fn read(&mut self, now: Instant, id: AskId, fetched: Fetched<Body>) -> Result<(), Fetched<Body>> {
        if !self.positions.is_open(id) {
            return Ok(());
        }
        let taken = self.room.take(&fetched.body).or_else(|no_room| match self.positions.forget_paused() {
            true => self.room.take(&fetched.body),
            false => Err(no_room),
        });
        let Ok(taken) = taken else { return Err(fetched) };
        let read = self.client.read(fetched);
        self.positions.fetched(now, id, read.map(|fetched| fetched.map(|entries| taken.keep(entries))));
        Ok(())
    }

    /// At most `records_max` records, of what has come. Files are read only as far as it takes to have any.
    pub(in crate::queue::consumer) fn hand_out(&mut self, records_max: u32) -> Result<Vec<Polled>, PollError> {
        // Something wrong is told again and again, until somebody seeks past it. The others are read in between.
        if std::mem::take(&mut self.is_unread_first) {
            self.read_next();
        }
        loop {
            let polled = self.positions.poll(records_max).inspect_err(|_| self.is_unread_first = true)?;
            if !polled.is_empty() || !self.read_next() {
                return Ok(polled);
            }
        }
    }

    /// Reads the next answer. Answers whether there was one, and memory for it.
    fn read_next(&mut self) -> bool {
        let Some((id, fetched)) = self.unread.pop_front() else { return false };
        let read = self.read(self.client.now(), id, fetched);
        let is_read = read.is_ok();
        if let Err(fetched) = read {
            self.unread.push_front((id, fetched));
            self.look_for_room();
        }
        is_read
    }
}

/// Gives each partition its answer. One that has none, because the node has answered something else, is refused.
fn each<T>(asked: Vec<Asked>, answers: Vec<PartitionAnswer<T>>, mut give: impl FnMut(AskId, Result<T, RequestError>)) {
    let mut answers = answers.into_iter();
    for Asked { id, partition } in asked {
        let answer = match answers.next() {
            Some(Answer { of, result }) if of == partition => result,
            Some(_) | None => {
                Err(RequestError::because(ErrorCode::UnknownServerError, "the answer is for another question"))
            }
        };
        give(id, answer);
    }
}
