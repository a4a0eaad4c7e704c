//! A batch on its way: handed over to the node, and back with an answer.
//!
//! - May use: `message`, `producer`, `client` of its room, and its siblings.
//! - Must not know: what is done about an answer: the machine decides.
//! - Always true: each batch that was handed over comes back once, also if the node forgets to answer.

use std::sync::Arc;

use crate::broker::Body;
use crate::message::{Answer, ErrorCode, Produce, ProducePartition, Produced, Request, RequestError, Response};
use crate::offset::Offset;
use crate::producer::{BatchId, Outgoing};
use crate::queue::client::Stopped;
use crate::queue::producer::lane::PartitionLane;
use crate::queue::producer::shared::Shared;
use crate::queue::telemetry;
use crate::record::Batch;

/// A batch that the node has.
#[derive(Debug)]
struct Flight {
    shared: Arc<Shared>,
    lane: Arc<PartitionLane>,
    id: BatchId,
    /// What it is, in case it has to be sent again; nothing once it has landed.
    batch: Option<Batch>,
}

/// What the node said of a batch.
enum Landing {
    Produced(Produced),
    /// Nobody asked for an acknowledgement.
    Unknown,
    Refused(RequestError),
    Stopped,
}

impl Shared {
    /// Hands a batch over. It may be back before this returns.
    pub(super) fn hand(
        self: &Arc<Self>,
        lane: &Arc<PartitionLane>,
        outgoing: Outgoing,
        expected_offset: Option<Offset>,
    ) {
        let Outgoing { id, batch, .. } = outgoing;
        let _span = telemetry::producing(&lane.partition, batch.size());
        let part = ProducePartition { partition: lane.partition.clone(), batch: batch.clone(), expected_offset };
        let produce = Produce {
            acks: self.config.acks,
            durability: self.config.durability,
            timeout_ms: self.config.request_timeout.millis,
            partitions: vec![part],
        };
        let mut flight = Flight { shared: Arc::clone(self), lane: Arc::clone(lane), id, batch: Some(batch) };
        let on_answer = Box::new(move |answer| flight.land(read(answer)));
        self.client.ask(Request::Produce(produce), on_answer);
    }
}

impl Flight {
    fn land(&mut self, landing: Landing) {
        let Some(batch) = self.batch.take() else { return };
        let (shared, lane, id) = (&self.shared, &self.lane, self.id);
        let now = shared.client.now();
        if matches!(landing, Landing::Refused(_)) {
            telemetry::refused();
        }
        match landing {
            Landing::Stopped => shared.stop(),
            Landing::Produced(produced) => {
                telemetry::acknowledged(&batch);
                shared.in_lane(lane, now, |state| {
                    state.machine.acknowledged(id, &produced, &mut state.outcomes);
                });
            }
            Landing::Unknown => shared.in_lane(lane, now, |state| state.machine.handed_over(id, &mut state.outcomes)),
            // Without a topic there is nothing to wait for.
            Landing::Refused(error) if shared.is_gone(&lane.partition, error.code) => {
                shared.in_lane(lane, now, |state| state.machine.refused(id, error, &mut state.outcomes));
            }
            Landing::Refused(error) => shared.in_lane(lane, now, |state| {
                state.machine.failed(now, id, batch, error, &mut state.outcomes);
            }),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.land(Landing::Refused(RequestError::because(ErrorCode::NetworkException, "nobody answered")));
    }
}

fn read(answer: Result<Response<Body>, Stopped>) -> Landing {
    let Ok(answer) = answer else { return Landing::Stopped };
    let Response::Produce(mut answers) = answer else {
        return Landing::Refused(RequestError::because(
            ErrorCode::UnknownServerError,
            "the answer is to another question",
        ));
    };
    match answers.pop() {
        Some(Answer { result: Ok(produced), .. }) => Landing::Produced(produced),
        Some(Answer { result: Err(error), .. }) => Landing::Refused(error),
        None => Landing::Unknown,
    }
}
