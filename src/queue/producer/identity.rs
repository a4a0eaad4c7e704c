//! Who the producer is: an id of its own, asked of the node, by which logs know what they have already.
//!
//! - May use: `message`, `client` of its room, and its siblings.
//! - Must not know: lanes, but that they want to know.
//! - Always true: one question is on its way at most.

use std::sync::Arc;

use crate::broker::Body;
use crate::message::{ErrorCode, InitProducerId, ProducerIdentity, Request, RequestError, Response};
use crate::queue::client::Stopped;
use crate::queue::producer::shared::Shared;
use crate::queue::sync::Mutex;
use crate::time::Instant;

/// Who the producer is.
#[derive(Debug)]
pub(super) struct Identity(Mutex<State>);

#[derive(Debug)]
struct State {
    known: Option<ProducerIdentity>,
    question: Question,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    None,
    Asked,
    /// It was refused, and may be asked again then.
    Refused(Instant),
}

impl Identity {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { known: None, question: Question::None }))
    }

    /// The latest.
    pub(super) fn known(&self) -> Option<ProducerIdentity> {
        self.0.lock().known
    }

    /// When to ask again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.0.lock().question {
            Question::Refused(until) => Some(until),
            Question::None | Question::Asked => None,
        }
    }

    /// Whether it is to be asked now; then it is.
    fn begins_to_ask(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        match state.question {
            Question::Asked => return false,
            Question::Refused(until) if until > now => return false,
            Question::None | Question::Refused(_) => {}
        }
        state.question = Question::Asked;
        true
    }
}

impl Shared {
    /// Asks for a producer id that nobody has, unless that is being done.
    pub(super) fn ask_identity(self: &Arc<Self>) {
        if self.identity.begins_to_ask(self.client.now()) {
            let mut question = Asking { shared: Some(Arc::clone(self)) };
            let on_answer = Box::new(move |answer| question.answered(answer));
            self.client.ask(Request::InitProducerId(InitProducerId::default()), on_answer);
        }
    }

    fn on_identity(self: &Arc<Self>, answer: Result<ProducerIdentity, RequestError>) {
        let now = self.client.now();
        let identity = match answer {
            Ok(identity) => identity,
            Err(error) => {
                let again = now.after(self.config.gathering.retry_backoff_ms.max(1));
                self.identity.0.lock().question = Question::Refused(again);
                for lane in self.all_lanes() {
                    self.in_lane(&lane, now, |state| state.machine.not_identified(&error));
                }
                return self.client.hurry(again);
            }
        };
        *self.identity.0.lock() = State { known: Some(identity), question: Question::None };
        for lane in self.all_lanes() {
            self.in_lane(&lane, now, |_| ());
        }
    }
}

/// The question on its way.
struct Asking {
    shared: Option<Arc<Shared>>,
}

impl Asking {
    fn answered(&mut self, answer: Result<Response<Body>, Stopped>) {
        let Some(shared) = self.shared.take() else { return };
        match answer {
            Ok(Response::InitProducerId(answer)) => shared.on_identity(answer),
            Ok(_) => shared.on_identity(Err(ErrorCode::UnknownServerError.into())),
            Err(Stopped) => shared.stop(),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.on_identity(Err(ErrorCode::NetworkException.into()));
        }
    }
}
