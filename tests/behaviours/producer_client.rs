//! `PRD`: what a producer's client does with records before and after they are sent.

use std::num::NonZeroU32;

use ottla::epoch::ProducerEpoch;
use ottla::id::{ProducerId, TopicPartition};
use ottla::message::{ErrorCode, Produced, ProducerIdentity, RequestError};
use ottla::offset::Offset;
use ottla::producer::{
    Accumulator, AccumulatorConfig, Known, LaneId, Outcome, Outgoing, PushError, SendError, Ticket, WhenFull,
    partition_of_key,
};
use ottla::record::{DecompressLimit, NewRecord};
use ottla::time::{Instant, Timestamp};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A producer of one partition, with verbs.
struct Client {
    accumulator: Accumulator,
    lane: LaneId,
    out: Vec<Outcome>,
}

impl Client {
    fn new(config: AccumulatorConfig) -> Self {
        let mut accumulator = Accumulator::new(config).unwrap();
        accumulator.identify(ProducerIdentity { id: ProducerId::new(9).unwrap(), epoch: ProducerEpoch::ZERO });
        let lane = accumulator.lane(&TopicPartition::parse("t-0").unwrap());
        Self { accumulator, lane, out: Vec::new() }
    }

    fn push(&mut self, now: u64, value: &[u8]) -> Ticket {
        self.try_push(now, value).unwrap()
    }

    fn try_push(&mut self, now: u64, value: &[u8]) -> Result<Ticket, PushError> {
        let record = NewRecord::new(Timestamp::from_millis(1000), None, Some(value));
        Ok(self.accumulator.push(at(now), self.lane, &record, &mut self.out)?.ticket)
    }

    fn take(&mut self, now: u64) -> Option<Outgoing> {
        Some(self.accumulator.take(at(now), &mut self.out)?.build().unwrap())
    }

    fn take_all(&mut self, now: u64) -> Vec<Outgoing> {
        std::iter::from_fn(|| self.take(now)).collect()
    }

    fn succeed(&mut self, outgoing: &Outgoing, base_offset: u64) {
        let produced =
            Produced { base_offset: Offset::new(base_offset), log_append_time: None, log_start_offset: Offset::ZERO };
        self.accumulator.acknowledged(self.lane, outgoing.id, &produced, &mut self.out);
    }

    fn fail(&mut self, now: u64, outgoing: &Outgoing, code: ErrorCode) {
        let back = (outgoing.id, outgoing.batch.clone());
        self.accumulator.failed(at(now), self.lane, back, RequestError::new(code), &mut self.out);
    }

    fn offset_of(&self, ticket: Ticket) -> Option<u64> {
        self.out.iter().find_map(|outcome| outcome.offset_of(ticket)).map(Offset::get)
    }
}

fn values(outgoing: &Outgoing) -> Vec<String> {
    let records = outgoing.batch.records(DecompressLimit::default()).unwrap();
    records.iter().map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()).collect()
}

fn sequence(outgoing: &Outgoing) -> i32 {
    outgoing.batch.producer().unwrap().base_sequence.unwrap().get()
}

fn epoch(outgoing: &Outgoing) -> i16 {
    outgoing.batch.producer().unwrap().epoch.unwrap().get()
}

/// One record fills a batch, and nothing lingers.
fn one_each() -> AccumulatorConfig {
    AccumulatorConfig { batch_bytes: 1, linger_ms: 0, ..AccumulatorConfig::default() }
}

#[test]
fn prd_01_a_key_picks_its_partition_as_in_kafka() {
    let six = NonZeroU32::new(6).unwrap();
    assert_eq!(partition_of_key(b"foobar", six), 0);
    assert_eq!(partition_of_key(b"abc", six), 3);
}

#[test]
fn prd_02_a_batch_that_is_full_is_ready_at_once_and_the_next_record_begins_another() {
    let mut client = Client::new(AccumulatorConfig { batch_bytes: 200, linger_ms: 10, ..AccumulatorConfig::default() });
    let first = client.push(0, &[b'a'; 100]);
    assert!(client.take(0).is_none(), "there is room");
    let second = client.push(0, &[b'b'; 100]);
    assert_ne!(first.batch, second.batch);
    let sent = client.take_all(0);
    assert_eq!(sent.len(), 1, "the second one has room");
    assert_eq!(values(&sent[0]), ["a".repeat(100)]);
}

#[test]
fn prd_03_a_batch_with_room_waits_as_long_as_it_lingers() {
    let mut client = Client::new(AccumulatorConfig { linger_ms: 10, ..AccumulatorConfig::default() });
    let tickets = [client.push(0, b"a"), client.push(4, b"b")];
    assert_eq!(client.accumulator.next_deadline(), Some(at(10)));
    assert!(client.take(9).is_none());
    let sent = client.take(10).unwrap();
    assert_eq!(values(&sent), ["a", "b"]);
    client.succeed(&sent, 40);
    assert_eq!(tickets.map(|ticket| client.offset_of(ticket)), [Some(40), Some(41)]);
    assert_eq!(client.accumulator.used(), 0);
    assert_eq!(client.accumulator.next_deadline(), None);
}

#[test]
fn prd_04_a_record_larger_than_a_batch_gets_one_of_its_own() {
    let mut client = Client::new(AccumulatorConfig { batch_bytes: 100, linger_ms: 10, ..AccumulatorConfig::default() });
    client.push(0, b"small");
    client.push(0, &[b'x'; 5000]);
    client.push(0, b"after");
    let sent = client.take_all(0);
    assert_eq!(sent.iter().map(|batch| batch.tickets.count).collect::<Vec<_>>(), [1, 1]);
    let too_large = client.try_push(0, &vec![0; 1 << 20]);
    assert!(matches!(too_large, Err(PushError::TooLarge { max: 1_048_576, .. })), "{too_large:?}");
}

#[test]
fn prd_05_without_memory_all_is_ready_and_the_next_record_waits_its_time() {
    let when_full = WhenFull::Block { wait_max_ms: 60 };
    let config = AccumulatorConfig { memory_bytes: 300, linger_ms: 100, when_full, ..AccumulatorConfig::default() };
    let mut client = Client::new(config);
    client.push(0, &[0; 100]);
    assert!(client.take(0).is_none());
    let refused = client.try_push(7, &[0; 100]).unwrap_err();
    assert!(matches!(refused, PushError::MustWait { max: 300, deadline, .. } if deadline == at(67)), "{refused:?}");
    let sent = client.take(7).expect("it makes room");
    assert!(client.try_push(7, &[0; 100]).is_err(), "it is on its way, and takes its room");
    client.succeed(&sent, 0);
    client.push(8, &[0; 100]);
}

#[test]
fn prd_05_without_memory_a_record_is_refused_if_that_is_asked_for() {
    let when_full = WhenFull::Fail;
    let mut client = Client::new(AccumulatorConfig { memory_bytes: 300, when_full, ..AccumulatorConfig::default() });
    client.push(0, &[0; 100]);
    assert!(matches!(client.try_push(0, &[0; 100]), Err(PushError::Full { max: 300, .. })));
    assert!(matches!(client.try_push(0, &[0; 300]), Err(PushError::TooLarge { max: 300, .. })));
}

#[test]
fn prd_05_without_memory_the_oldest_goes_if_that_is_asked_for_but_not_what_was_sent() {
    let when_full = WhenFull::DropOldest;
    let config = AccumulatorConfig { memory_bytes: 750, when_full, ..one_each() };
    let mut client = Client::new(config);
    let sent = client.push(0, &[b's'; 100]);
    let outgoing = client.take(0).unwrap();
    let tickets: Vec<Ticket> = (1..6).map(|millis| client.push(millis, &[b'v'; 100])).collect();
    let dropped: Vec<Ticket> = client.out.iter().flat_map(|outcome| outcome.tickets.iter()).collect();
    assert_eq!(dropped, tickets[..2]);
    assert!(client.out.iter().all(|outcome| outcome.result == Err(SendError::Dropped)));
    client.succeed(&outgoing, 5);
    assert_eq!(client.offset_of(sent), Some(5));
    assert_eq!(sequence(&client.take(6).unwrap()), 1, "what was dropped leaves no gap");
}

#[test]
fn prd_06_a_flush_makes_all_ready_and_is_over_when_all_so_far_is() {
    let mut client = Client::new(AccumulatorConfig { linger_ms: 1000, ..AccumulatorConfig::default() });
    client.push(0, b"a");
    let waiting = client.accumulator.flush();
    client.push(0, b"later");
    let sent = client.take(0).unwrap();
    assert_eq!(values(&sent), ["a"]);
    assert!(client.take(0).is_none(), "what came after the flush lingers");
    let is_over = |client: &Client| waiting.iter().all(|(lane, batch)| client.accumulator.is_settled(*lane, *batch));
    assert!(!is_over(&client));
    client.succeed(&sent, 0);
    assert!(is_over(&client));
    assert_eq!(client.accumulator.flush().len(), 1);
}

#[test]
fn prd_07_a_batch_that_comes_back_is_sent_again_and_none_passes_it() {
    let mut client = Client::new(AccumulatorConfig { in_flight_max: 1, ..one_each() });
    let tickets = [client.push(0, b"a"), client.push(0, b"b")];
    let first = client.take(0).unwrap();
    assert!(client.take(0).is_none(), "one at a time");
    client.fail(0, &first, ErrorCode::NotLeaderOrFollower);
    assert!(client.take(99).is_none(), "it waits before it goes again");
    let again = client.take(100).unwrap();
    assert_eq!(again.batch, first.batch, "the same bytes");
    client.succeed(&again, 0);
    let second = client.take(100).unwrap();
    client.succeed(&second, 1);
    assert_eq!(tickets.map(|ticket| client.offset_of(ticket)), [Some(0), Some(1)]);
}

#[test]
fn prd_08_what_is_not_delivered_in_time_is_given_up_and_not_sent_again() {
    let mut client = Client::new(AccumulatorConfig { delivery_timeout_ms: 500, in_flight_max: 1, ..one_each() });
    client.push(0, b"sent");
    let first = client.take(0).unwrap();
    client.push(100, b"never sent");
    assert_eq!(client.accumulator.next_deadline(), Some(at(500)));
    assert!(client.take(499).is_none());
    client.fail(499, &first, ErrorCode::RequestTimedOut);
    assert!(client.take(500).is_some_and(|next| values(&next) == ["never sent"]));
    let expired = |known| Err(SendError::Expired { timeout_ms: 500, known });
    assert_eq!(client.out.iter().map(|outcome| outcome.result.clone()).collect::<Vec<_>>(), [expired(Known::Unknown)]);
    client.succeed(&first, 77);
    assert_eq!(client.out.len(), 1, "an answer that comes too late changes nothing");
}

#[test]
fn prd_08_what_was_never_sent_is_known_not_to_be_there() {
    let mut client = Client::new(AccumulatorConfig { delivery_timeout_ms: 500, in_flight_max: 1, ..one_each() });
    client.push(0, b"on its way");
    let _flying = client.take(0).unwrap();
    client.push(100, b"behind it");
    assert!(client.take(600).is_none());
    let known: Vec<_> = client.out.iter().map(|outcome| outcome.result.clone().unwrap_err()).collect();
    let expired = |known| SendError::Expired { timeout_ms: 500, known };
    assert_eq!(known, [expired(Known::Unknown), expired(Known::NotWritten)]);
}

#[test]
fn prd_09_five_on_their_way_are_sent_again_in_order_after_the_first_has_failed() {
    let mut client = Client::new(one_each());
    let tickets: Vec<Ticket> = ["a", "b", "c", "d", "e", "f"].map(|value| client.push(0, value.as_bytes())).into();
    let sent = client.take_all(0);
    assert_eq!(sent.iter().map(sequence).collect::<Vec<_>>(), [0, 1, 2, 3, 4], "and no sixth");
    client.fail(0, &sent[0], ErrorCode::NotEnoughReplicas);
    for later in &sent[1..] {
        client.fail(0, later, ErrorCode::OutOfOrderSequenceNumber);
    }
    for (offset, original) in (0..).zip(&sent) {
        let again = client.take(200).unwrap();
        assert_eq!((again.id, &again.batch), (original.id, &original.batch));
        if offset < 4 {
            assert!(client.take(200).is_none(), "each waits for the one in front of it");
        }
        client.succeed(&again, offset);
    }
    let last = client.take(200).unwrap();
    assert_eq!(sequence(&last), 5);
    client.succeed(&last, 5);
    assert!(tickets.iter().zip(0..).all(|(ticket, offset)| client.offset_of(*ticket) == Some(offset)));
}

#[test]
fn prd_09_where_the_first_is_out_of_order_all_begin_again_in_the_next_epoch() {
    let mut client = Client::new(one_each());
    client.push(0, b"a");
    client.push(0, b"b");
    let sent = client.take_all(0);
    client.fail(0, &sent[1], ErrorCode::OutOfOrderSequenceNumber);
    client.fail(0, &sent[0], ErrorCode::OutOfOrderSequenceNumber);
    let first = client.take(100).unwrap();
    assert_eq!((epoch(&first), sequence(&first)), (1, 0));
    client.succeed(&first, 0);
    let second = client.take(100).unwrap();
    assert_eq!((epoch(&second), sequence(&second), values(&second)), (1, 1, vec!["b".to_owned()]));
}

#[test]
fn prd_09_one_that_is_refused_leaves_no_gap_to_those_behind_it() {
    let mut client = Client::new(one_each());
    for value in ["a", "b", "c"] {
        client.push(0, value.as_bytes());
    }
    let sent = client.take_all(0);
    client.fail(0, &sent[0], ErrorCode::InvalidRecord);
    assert!(matches!(&client.out[0].result, Err(SendError::Refused { known: Known::NotWritten, .. })));
    client.fail(0, &sent[1], ErrorCode::OutOfOrderSequenceNumber);
    client.fail(0, &sent[2], ErrorCode::OutOfOrderSequenceNumber);
    for (number, value) in [(0, "b"), (1, "c")] {
        let again = client.take(100).unwrap();
        assert_eq!((epoch(&again), sequence(&again), values(&again)), (0, number, vec![value.to_owned()]));
        client.succeed(&again, 0);
    }
    client.push(200, b"d");
    let next = client.take(200).unwrap();
    assert_eq!((epoch(&next), sequence(&next)), (0, 2));
}

#[test]
fn prd_09_one_in_doubt_that_is_given_up_holds_up_new_ones_until_the_broker_expects_zero() {
    let config = AccumulatorConfig { retries: 0, in_flight_max: 2, ..one_each() };
    let mut client = Client::new(config);
    for value in ["a", "b", "c"] {
        client.push(0, value.as_bytes());
    }
    let sent = client.take_all(0);
    client.fail(0, &sent[0], ErrorCode::RequestTimedOut);
    assert!(matches!(&client.out[0].result, Err(SendError::Refused { known: Known::Unknown, .. })));
    assert!(client.take(0).is_none(), "nobody knows which sequence is next");
    client.fail(0, &sent[1], ErrorCode::RequestTimedOut);
    let third = client.take(0).unwrap();
    assert_eq!((epoch(&third), sequence(&third)), (1, 0));
}

#[test]
fn prd_09_one_in_doubt_is_resolved_when_one_behind_it_was_written() {
    let mut client = Client::new(AccumulatorConfig { retries: 0, in_flight_max: 2, ..one_each() });
    for value in ["a", "b", "c"] {
        client.push(0, value.as_bytes());
    }
    let sent = client.take_all(0);
    client.fail(0, &sent[0], ErrorCode::RequestTimedOut);
    client.succeed(&sent[1], 1);
    let third = client.take(0).unwrap();
    assert_eq!((epoch(&third), sequence(&third)), (0, 2));
}

#[test]
fn prd_10_a_batch_that_is_too_large_is_split_until_it_fits_and_keeps_its_sequences() {
    let mut client = Client::new(AccumulatorConfig { linger_ms: 0, ..AccumulatorConfig::default() });
    let tickets: Vec<Ticket> = (0..5).map(|_| client.push(0, &[b'x'; 100])).collect();
    let whole = client.take(0).unwrap();
    client.fail(0, &whole, ErrorCode::MessageTooLarge);
    let mut written = Vec::new();
    while let Some(piece) = client.take(1000) {
        if piece.tickets.count > 1 {
            client.fail(1000, &piece, ErrorCode::MessageTooLarge);
        } else {
            client.succeed(&piece, written.len() as u64);
            written.push(sequence(&piece));
        }
    }
    assert_eq!(written, [0, 1, 2, 3, 4]);
    assert!(tickets.iter().zip(0..).all(|(ticket, offset)| client.offset_of(*ticket) == Some(offset)));
    assert_eq!(client.accumulator.used(), 0);

    client.push(2000, b"alone");
    let alone = client.take(2000).unwrap();
    client.fail(2000, &alone, ErrorCode::MessageTooLarge);
    assert!(matches!(&client.out.last().unwrap().result, Err(SendError::Refused { known: Known::NotWritten, .. })));
}

#[test]
fn who_is_fenced_asks_for_another_producer_id() {
    let mut client = Client::new(one_each());
    client.push(0, b"a");
    let sent = client.take(0).unwrap();
    client.fail(0, &sent, ErrorCode::InvalidProducerEpoch);
    assert!(client.take(1000).is_none());
    assert!(client.accumulator.needs_identity());
    let other = ProducerIdentity { id: ProducerId::new(10).unwrap(), epoch: ProducerEpoch::ZERO };
    client.accumulator.identify(other);
    let again = client.take(1000).unwrap();
    assert_eq!(again.batch.producer().unwrap().id, other.id);
}

#[test]
fn closing_ends_every_wait_and_says_what_may_be_there() {
    let mut client = Client::new(AccumulatorConfig { in_flight_max: 1, ..one_each() });
    client.push(0, b"on its way");
    let flying = client.take(0).unwrap();
    client.push(0, b"here");
    client.accumulator.close(&mut client.out);
    let known: Vec<_> = client.out.iter().map(|outcome| outcome.result.clone().unwrap_err()).collect();
    assert_eq!(known, [Known::Unknown, Known::NotWritten].map(|known| SendError::Closed { known }));
    client.succeed(&flying, 0);
    assert_eq!(client.out.len(), 2);
    assert_eq!(client.try_push(1, b"late"), Err(PushError::Closed));
    assert_eq!((client.accumulator.used(), client.accumulator.next_deadline()), (0, None));
}
