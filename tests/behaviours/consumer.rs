//! `CON`: what a consumer's client hands out, and where it stands.

use ottla::consumer::{
    Ask, AskFor, NotAssigned, OffsetReset, Pause, PollError, Polled, Positions, PositionsConfig, Start,
};
use ottla::epoch::ProducerEpoch;
use ottla::id::{ProducerId, TopicPartition};
use ottla::message::{
    AbortedTransaction, Detail, ErrorCode, Fetched, IsolationLevel, ListedOffset, OffsetSpec, RequestError,
};
use ottla::offset::Offset;
use ottla::record::{
    Batch, BatchBuilder, Codec, Entry, NewRecord, ProducerStamp, TransactionMarker, TransactionResult,
};
use ottla::time::{Instant, Timestamp};

const NOW: Instant = Instant::ZERO;

fn at(offset: u64) -> Offset {
    Offset::new(offset)
}

fn partition(name: &str) -> TopicPartition {
    TopicPartition::parse(name).unwrap()
}

fn filled(mut builder: BatchBuilder, base: u64, values: &[&str]) -> Entry {
    for value in values {
        builder.push(&NewRecord::new(Timestamp::from_millis(1), None, Some(value.as_bytes()))).unwrap();
    }
    builder.build().unwrap().stamped(at(base), None).unwrap().into()
}

fn batch(base: u64, values: &[&str]) -> Entry {
    filled(BatchBuilder::new(Codec::None), base, values)
}

fn transactional(base: u64, producer: i64, values: &[&str]) -> Entry {
    let (id, epoch) = (ProducerId::new(producer).unwrap(), Some(ProducerEpoch::ZERO));
    let stamp = ProducerStamp { id, epoch, base_sequence: ottla::epoch::Sequence::new(0) };
    filled(BatchBuilder::new(Codec::None).producer(stamp).transactional(), base, values)
}

fn marker(base: u64, producer: i64, result: TransactionResult) -> Entry {
    let marker = TransactionMarker { result, coordinator_epoch: 0 };
    let id = ProducerId::new(producer).unwrap();
    let batch: Batch = marker.to_batch(id, ProducerEpoch::ZERO, Timestamp::from_millis(1)).unwrap();
    batch.stamped(at(base), None).unwrap().into()
}

/// A consumer, with verbs.
struct Client {
    positions: Positions,
    aborted: Vec<AbortedTransaction>,
}

impl Client {
    fn new(reset: OffsetReset) -> Self {
        Self::with(PositionsConfig { reset, ..PositionsConfig::default() })
    }

    fn with(config: PositionsConfig) -> Self {
        Self { positions: Positions::new(config), aborted: Vec::new() }
    }

    /// Of partition `t-0`, from offset 0.
    fn reading(config: PositionsConfig) -> Self {
        let mut client = Self::with(config);
        client.positions.assign(partition("t-0"), Start::At(at(0)));
        client
    }

    fn ask(&mut self) -> Ask {
        let mut asks = self.positions.plan(NOW);
        assert_eq!(asks.len(), 1, "{asks:?}");
        asks.remove(0)
    }

    fn answer(&mut self, ask: &Ask, entries: &[Entry]) {
        let fetched = Fetched {
            high_watermark: at(100),
            last_stable_offset: at(90),
            log_start_offset: at(0),
            aborted: self.aborted.clone(),
            body: entries.to_vec(),
        };
        self.positions.fetched(NOW, ask.id, Ok(fetched));
    }

    fn fetch(&mut self, entries: &[Entry]) {
        let ask = self.ask();
        assert!(matches!(ask.what, AskFor::Batches(_)), "{ask:?}");
        self.answer(&ask, entries);
    }

    fn refuse(&mut self, error: RequestError) -> Ask {
        let ask = self.ask();
        self.positions.fetched(NOW, ask.id, Err(error));
        ask
    }

    fn poll(&mut self, max: u32) -> Vec<String> {
        self.positions.poll(max).unwrap().iter().flat_map(values).collect()
    }

    fn position(&self) -> Option<u64> {
        self.positions.position(&partition("t-0")).map(Offset::get)
    }
}

fn values(polled: &Polled) -> Vec<String> {
    let value = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let values: Vec<String> = polled.iter().map(|record| value(record.value.unwrap())).collect();
    assert_eq!(values.len(), polled.count() as usize);
    values
}

#[test]
fn con_01_a_batch_is_handed_out_in_pieces_and_the_position_moves_with_each() {
    let mut client = Client::reading(PositionsConfig::default());
    client.fetch(&[batch(0, &["a", "b", "c"])]);
    assert_eq!(client.position(), Some(0), "what was fetched was not handed out");
    assert_eq!(client.poll(2), ["a", "b"]);
    assert_eq!(client.position(), Some(2));
    assert!(client.positions.plan(NOW).is_empty(), "there is more of what was fetched");
    assert_eq!(client.poll(2), ["c"]);
    assert_eq!(client.position(), Some(3));
    assert_eq!(client.poll(2), [""; 0]);
    assert_eq!(client.ask().what, AskFor::Batches(at(3)));
    assert_eq!(client.positions.lag(&partition("t-0")), Some(97));
}

#[test]
fn con_01_a_batch_that_begins_before_the_position_is_handed_out_from_there() {
    let mut client = Client::reading(PositionsConfig::default());
    client.positions.seek(&partition("t-0"), Start::At(at(2))).unwrap();
    client.fetch(&[batch(0, &["a", "b", "c", "d"]), batch(4, &["e"])]);
    assert_eq!(client.poll(1), ["c"]);
    assert_eq!(client.poll(9), ["d", "e"]);
    assert_eq!(client.position(), Some(5));
}

#[test]
fn con_02_control_batches_are_not_handed_out_and_the_position_goes_past_them() {
    let mut client = Client::reading(PositionsConfig::default());
    let marker = marker(2, 9, TransactionResult::Commit);
    client.fetch(&[transactional(0, 9, &["a", "b"]), marker.clone()]);
    assert_eq!(client.poll(9), ["a", "b"]);
    assert_eq!(client.position(), Some(3));
    client.positions.seek(&partition("t-0"), Start::At(at(2))).unwrap();
    client.fetch(&[marker]);
    assert_eq!(client.poll(9), [""; 0]);
    assert_eq!(client.position(), Some(3), "also where nothing else was fetched");
}

#[test]
fn con_02_where_compaction_has_left_a_gap_the_position_goes_past_the_batch() {
    let mut client = Client::reading(PositionsConfig::default());
    let mut builder = BatchBuilder::new(Codec::None).last_offset_delta(9);
    builder.push(&NewRecord::new(Timestamp::from_millis(1), None, Some(b"a"))).unwrap();
    client.fetch(&[builder.build().unwrap().into()]);
    assert_eq!(client.poll(9), ["a"]);
    assert_eq!(client.position(), Some(10));
}

#[test]
fn con_03_what_a_paused_partition_has_fetched_is_kept_and_not_fetched_again() {
    let mut client = Client::reading(PositionsConfig::default());
    client.fetch(&[batch(0, &["a"])]);
    client.positions.set_pause(&partition("t-0"), Pause::Paused).unwrap();
    assert_eq!(client.poll(9), [""; 0]);
    assert!(client.positions.plan(NOW).is_empty());
    client.positions.set_pause(&partition("t-0"), Pause::Running).unwrap();
    assert!(client.positions.plan(NOW).is_empty());
    assert_eq!(client.poll(9), ["a"]);
}

#[test]
fn con_03_a_paused_partition_is_not_fetched_and_holds_up_no_other() {
    let mut client = Client::new(OffsetReset::Refuse);
    for name in ["t-0", "t-1"] {
        client.positions.assign(partition(name), Start::At(at(0)));
    }
    let asks = client.positions.plan(NOW);
    client.answer(&asks[0], &[batch(0, &["a"])]);
    client.answer(&asks[1], &[batch(0, &["b"])]);
    client.positions.set_pause(&partition("t-0"), Pause::Paused).unwrap();
    assert_eq!(client.poll(9), ["b"]);
    assert_eq!(client.ask().partition, partition("t-1"));
    let unknown = client.positions.set_pause(&partition("x-0"), Pause::Paused);
    assert_eq!(unknown, Err(NotAssigned { partition: partition("x-0") }));
}

#[test]
fn con_04_an_answer_for_a_position_that_was_left_is_not_handed_out() {
    let mut client = Client::reading(PositionsConfig::default());
    let old = client.ask();
    client.positions.seek(&partition("t-0"), Start::At(at(5))).unwrap();
    client.answer(&old, &[batch(0, &["old"])]);
    assert_eq!(client.poll(9), [""; 0]);
    let new = client.ask();
    assert_eq!(new.what, AskFor::Batches(at(5)));
    client.answer(&old, &[batch(5, &["old"])]);
    client.answer(&new, &[batch(5, &["new"])]);
    client.answer(&new, &[batch(5, &["twice"])]);
    assert_eq!(client.poll(9), ["new"]);
}

#[test]
fn con_04_a_seek_forgets_what_was_fetched_also_to_the_same_offset() {
    let mut client = Client::reading(PositionsConfig::default());
    client.fetch(&[batch(0, &["a", "b"])]);
    assert_eq!(client.poll(1), ["a"]);
    client.positions.seek(&partition("t-0"), Start::At(at(1))).unwrap();
    assert_eq!(client.poll(9), [""; 0]);
    client.fetch(&[batch(0, &["a", "b"])]);
    assert_eq!(client.poll(9), ["b"]);
}

fn out_of_range() -> RequestError {
    let range = Detail::Range { log_start_offset: at(40), end: at(60) };
    RequestError::new(ErrorCode::OffsetOutOfRange).with(range)
}

#[test]
fn con_05_an_offset_that_is_gone_is_an_error_with_both_ends_if_no_reset_is_configured() {
    let mut client = Client::reading(PositionsConfig { reset: OffsetReset::Refuse, ..PositionsConfig::default() });
    client.refuse(out_of_range());
    assert!(client.positions.plan(NOW).is_empty(), "it is told first");
    let gone = client.positions.poll(9).unwrap_err();
    let expected =
        PollError::OutOfRange { partition: partition("t-0"), position: at(0), range: Some((at(40), at(60))) };
    assert_eq!(gone, expected);
    assert_eq!(gone.to_string(), "offset 0 of t-0 is out of range: there are 40 to 60");
    assert_eq!(client.position(), Some(0));
    client.positions.seek(&partition("t-0"), Start::At(at(40))).unwrap();
    client.fetch(&[batch(40, &["a"])]);
    assert_eq!(client.poll(9), ["a"]);
}

#[test]
fn con_05_an_offset_that_is_gone_is_left_for_where_the_reset_says() {
    for (reset, spec) in [(OffsetReset::Earliest, OffsetSpec::Earliest), (OffsetReset::Latest, OffsetSpec::Latest)] {
        let mut client = Client::reading(PositionsConfig { reset, ..PositionsConfig::default() });
        client.refuse(out_of_range());
        assert_eq!(client.position(), None);
        let ask = client.ask();
        assert_eq!(ask.what, AskFor::Offset(spec));
        let listed = ListedOffset { offset: at(40), timestamp: None, leader_epoch: None };
        client.positions.listed(NOW, ask.id, Ok(Some(listed)));
        assert_eq!(client.position(), Some(40));
        assert_eq!(client.ask().what, AskFor::Batches(at(40)));
    }
}

#[test]
fn con_05_without_a_committed_offset_the_reset_says_where_to_begin() {
    let mut client = Client::new(OffsetReset::Earliest);
    client.positions.assign(partition("t-0"), Start::Committed(None));
    assert_eq!(client.ask().what, AskFor::Offset(OffsetSpec::Earliest));
    client.positions.assign(partition("t-0"), Start::Committed(Some(at(7))));
    assert_eq!(client.position(), Some(7));

    let mut strict = Client::new(OffsetReset::Refuse);
    strict.positions.assign(partition("t-0"), Start::Committed(None));
    assert!(strict.positions.plan(NOW).is_empty());
    assert_eq!(strict.positions.poll(9).unwrap_err(), PollError::NoOffset { partition: partition("t-0") });
    assert!(strict.positions.poll(9).is_ok(), "it is told once");
}

#[test]
fn con_05_where_no_record_is_as_late_as_was_sought_the_next_one_counts() {
    let mut client = Client::new(OffsetReset::Refuse);
    client.positions.assign(partition("t-0"), Start::Find(OffsetSpec::At(Timestamp::from_millis(5))));
    let ask = client.ask();
    client.positions.listed(NOW, ask.id, Ok(None));
    assert_eq!(client.ask().what, AskFor::Offset(OffsetSpec::Latest));
}

#[test]
fn con_06_under_read_committed_what_was_aborted_is_left_out() {
    let config = PositionsConfig { isolation: IsolationLevel::ReadCommitted, ..PositionsConfig::default() };
    let log = [
        transactional(0, 1, &["a1"]),
        transactional(1, 2, &["c1"]),
        batch(2, &["plain"]),
        transactional(3, 1, &["a2"]),
        marker(4, 1, TransactionResult::Abort),
        transactional(5, 1, &["later"]),
        marker(6, 2, TransactionResult::Commit),
        marker(7, 1, TransactionResult::Commit),
    ];
    let mut client = Client::reading(config);
    client.aborted = vec![
        AbortedTransaction { first_offset: at(50), producer_id: ProducerId::new(2).unwrap() },
        AbortedTransaction { first_offset: at(0), producer_id: ProducerId::new(1).unwrap() },
    ];
    client.fetch(&log);
    assert_eq!(client.poll(9), ["c1", "plain", "later"]);
    assert_eq!(client.position(), Some(8));
    assert_eq!(client.positions.lag(&partition("t-0")), Some(82), "the last stable offset is its end");

    let mut all = Client::reading(PositionsConfig::default());
    all.fetch(&log);
    assert_eq!(all.poll(9), ["a1", "c1", "plain", "a2", "later"]);
}

#[test]
fn con_07_what_cannot_be_read_is_an_error_and_the_position_stays() {
    let mut client = Client::reading(PositionsConfig::default());
    client.refuse(RequestError::new(ErrorCode::LeaderNotAvailable));
    assert_eq!(client.positions.next_deadline(NOW), Some(NOW.after(100)), "it will go away, so nobody is told");
    assert_eq!(client.poll(9), [""; 0]);
    assert!(client.positions.plan(NOW.after(99)).is_empty());
    let lasting = [ErrorCode::UnsupportedCompressionType, ErrorCode::CorruptMessage, ErrorCode::KafkaStorageError];
    for (times, code) in (1..).zip(lasting) {
        let now = NOW.after(100 * times);
        let ask = client.positions.plan(now).remove(0);
        client.positions.fetched(now, ask.id, Err(RequestError::because(code, "bytes 0 to 70")));
        assert!(client.positions.plan(now.after(100)).is_empty(), "not before it was told");
        assert!(matches!(client.positions.poll(9), Err(PollError::Refused { .. })));
        assert!(client.positions.plan(now.after(99)).is_empty(), "nor at once");
    }
    assert_eq!(client.position(), Some(0));
}

#[test]
fn con_07_a_bad_record_is_told_again_until_the_position_moves_and_holds_up_no_other() {
    let mut client = Client::new(OffsetReset::Refuse);
    for name in ["t-0", "t-1"] {
        client.positions.assign(partition(name), Start::At(at(0)));
    }
    let asks = client.positions.plan(NOW);
    client.answer(&asks[0], &[batch(0, &["a"]), miscounted()]);
    client.answer(&asks[1], &[batch(0, &["b"])]);
    assert_eq!(client.poll(1), ["a"]);
    assert!(matches!(client.positions.poll(9), Err(PollError::Corrupt { position, .. }) if position == at(1)));
    assert_eq!(client.poll(1), ["b"]);
    assert!(matches!(client.positions.poll(9), Err(PollError::Corrupt { .. })));
    assert_eq!(client.position(), Some(1));
    client.positions.seek(&partition("t-0"), Start::At(at(3))).unwrap();
    assert_eq!(client.poll(9), [""; 0]);
}

/// A batch at offset 1 whose checksum is right, but which says it has a record more than it has.
fn miscounted() -> Entry {
    let Entry::Batch(good) = batch(1, &["x", "y"]) else { unreachable!() };
    let mut bytes = good.to_bytes().to_vec();
    bytes[57..61].copy_from_slice(&3_i32.to_be_bytes());
    bytes[23..27].copy_from_slice(&2_i32.to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]) as u32;
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Entry::parse(&bytes.into()).unwrap()
}

#[test]
fn who_was_served_is_asked_about_last() {
    let mut client = Client::new(OffsetReset::Refuse);
    for name in ["t-0", "t-1", "t-2"] {
        client.positions.assign(partition(name), Start::At(at(0)));
    }
    let asks = client.positions.plan(NOW);
    assert_eq!(asks.iter().map(|ask| ask.partition.partition()).collect::<Vec<_>>(), [0, 1, 2]);
    client.answer(&asks[0], &[batch(0, &["a"])]);
    client.answer(&asks[1], &[]);
    client.answer(&asks[2], &[]);
    assert_eq!(client.poll(9), ["a"]);
    let order: Vec<u32> = client.positions.plan(NOW).iter().map(|ask| ask.partition.partition()).collect();
    assert_eq!(order, [1, 2, 0]);
    client.positions.revoke(&partition("t-1"));
    assert_eq!(client.positions.partitions().count(), 2);
}
