//! Lingering, flushing, tickets and callbacks.

use std::sync::Arc;

use crate::message::Acks;
use crate::producer::SendError;
use crate::queue::producer::tests::node::{Fate, HandNode};
use crate::queue::producer::tests::{config, offset, producer, refusal, send, told, value};
use crate::queue::producer::{Producer, Record, SendTicket, TopicProducer};
use crate::queue::sync::Mutex;
use crate::time::{Instant, Timestamp};

#[test]
fn producers_and_tickets_go_to_any_thread() {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Producer>();
    shared::<TopicProducer>();
    shared::<SendTicket>();
    assert!(size_of::<SendTicket>() <= 24);
}

#[test]
fn prd_03_a_batch_lingers_and_not_a_millisecond_longer() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(std::time::Duration::from_millis(10)));
    let ticket = send(&producer, "a");
    assert_eq!(node.next_deadline(), Some(Instant::from_millis(1010)));
    node.advance(9);
    assert!(ticket.try_get().is_none() && node.seen().is_empty());
    let joined = send(&producer, "b");
    node.advance(1);
    assert_eq!((offset(&ticket), offset(&joined)), (0, 1));
    assert_eq!(node.seen().len(), 1, "both are in one batch");
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn prd_02_a_full_batch_goes_at_once() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().batch_bytes(200));
    let first = send(&producer, &value("a", 100));
    assert!(first.try_get().is_none());
    let second = send(&producer, &value("b", 100));
    assert_eq!(offset(&first), 0);
    assert!(second.try_get().is_none(), "it has begun the next batch");
}

#[test]
fn prd_04_a_record_larger_than_a_batch_gets_its_own_and_does_not_linger() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().batch_bytes(200));
    assert_eq!(offset(&send(&producer, &value("a", 1000))), 0);
}

#[test]
fn prd_06_a_flush_sends_all_lanes_without_linger() {
    let node = HandNode::new(3);
    let producer = producer(&node, config());
    let to = |partition| producer.send(Record::to("orders").partition(partition).value("v")).unwrap();
    let tickets = [to(0), to(1), to(2), to(0)];
    assert_eq!(producer.flush(), Ok(()));
    assert_eq!(tickets.each_ref().map(offset), [0, 0, 0, 1]);
}

#[test]
fn a_flush_tells_the_first_error_of_what_it_waited_for() {
    let node = HandNode::new(2);
    let producer = producer(&node, config());
    node.next([Fate::Answer, Fate::Refuse(crate::message::ErrorCode::InvalidRecord)]);
    let good = send(&producer, "good");
    let bad = producer.send(Record::to("orders").partition(1).value("bad")).unwrap();
    let error = producer.flush().unwrap_err();
    assert_eq!(told(&bad), Err(error));
    assert!(told(&good).is_ok());
    assert_eq!(producer.flush(), Ok(()), "it was told");
}

#[test]
fn a_ticket_tells_partition_offset_and_date() {
    let node = HandNode::new(4);
    let producer = producer(&node, config());
    let dated = Record::to("orders").partition(3).timestamp(Timestamp::from_millis(17)).value("v");
    let tickets = [producer.send(dated.clone()).unwrap(), producer.send(Record { timestamp: None, ..dated }).unwrap()];
    producer.flush().unwrap();
    let placed = told(&tickets[0]).unwrap();
    assert_eq!((placed.partition.to_string().as_str(), placed.timestamp.as_millis()), ("orders-3", 17));
    assert_eq!(told(&tickets[1]).unwrap().timestamp.as_millis(), 1_700_000_000_000);
    assert_eq!(tickets.each_ref().map(offset), [0, 1]);
}

#[test]
fn send_and_wait_does_not_linger_and_those_who_must_wait_share_a_batch() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().in_flight_max(1).linger(std::time::Duration::from_secs(60)));
    assert_eq!(producer.send_and_wait(Record::to("orders").partition(0).value("a")).unwrap().offset.unwrap().get(), 0);
    node.otherwise(Fate::Hold);
    let eager = |value: &'static str| {
        let producer = producer.clone();
        move || producer.send_and_wait(Record::to("orders").partition(0).value(value)).unwrap().offset
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(eager("b"));
        until(|| node.held() == 1);
        let others = [scope.spawn(eager("c")), scope.spawn(eager("d"))];
        until(|| producer.shared().all_lanes()[0].lock().untold().count() == 2);
        until(|| producer.shared().all_lanes()[0].lock().untold_records() == 3);
        assert!(node.let_go(0));
        until(|| node.held() == 1);
        assert!(node.let_go(0));
        assert!(first.join().unwrap() < others.map(|other| other.join().unwrap()).into_iter().min().unwrap());
    });
    assert_eq!(node.seen().len(), 3, "the two that had to wait went together");
}

/// Waits, without sleeping, until another thread has got somewhere.
fn until(holds: impl Fn() -> bool) {
    let end = crate::queue::producer::ticket::deadline_in(std::time::Duration::from_secs(30)).unwrap();
    while !holds() {
        assert!(
            crate::queue::producer::ticket::deadline_in(std::time::Duration::ZERO).unwrap() < end,
            "it never came to be"
        );
        std::thread::yield_now();
    }
}

#[test]
fn callbacks_are_called_in_order_and_their_panics_harm_nobody() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let called = Arc::new(Mutex::new(Vec::new()));
    for number in 0..4_u64 {
        let called = Arc::clone(&called);
        let note = move |told: Result<crate::queue::Placed, SendError>| {
            called.lock().push(told.unwrap().offset.unwrap().get());
            assert!(number % 2 == 0, "a callback panics");
        };
        producer.send_with(Record::to("orders").partition(0).value("v"), note).unwrap();
    }
    let ticket = send(&producer, "last");
    producer.flush().unwrap();
    assert_eq!(*called.lock(), [0, 1, 2, 3]);
    assert_eq!(offset(&ticket), 4);
    assert_eq!(producer.shared().memory.used(), 0);
}

#[test]
fn a_callback_may_send() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().linger(std::time::Duration::ZERO));
    let (again, told_later) = (producer.clone(), Arc::new(Mutex::new(None)));
    let later = Arc::clone(&told_later);
    let callback = move |_| *later.lock() = Some(send(&again, "from the callback"));
    producer.send_with(Record::to("orders").partition(0).value("first"), callback).unwrap();
    assert_eq!(offset(told_later.lock().as_ref().unwrap()), 1);
    assert_eq!(node.log(0), ["first", "from the callback"]);
}

#[test]
fn a_callback_that_comes_late_is_called_at_once() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let ticket = send(&producer, "v");
    producer.flush().unwrap();
    let called = Arc::new(Mutex::new(None));
    let note = Arc::clone(&called);
    ticket.on_done(move |told| *note.lock() = Some(told.is_ok()));
    assert_eq!(*called.lock(), Some(true));
}

#[test]
fn without_acknowledgement_a_batch_is_told_as_handed_over_and_has_no_sequence_that_could_be_missed() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().acks(Acks::None));
    let ticket = send(&producer, "v");
    producer.flush().unwrap();
    assert_eq!(told(&ticket).unwrap().offset, None);
    assert_eq!(node.seen()[0].producer, None);
}

#[test]
fn compare_and_append_goes_alone_in_its_place_and_tells_where_the_log_ends() {
    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let expecting = |value: &'static str, at| {
        let record = Record::to("orders").partition(0).value(value);
        producer.send(record.expected_offset(crate::offset::Offset::new(at))).unwrap()
    };
    let before = send(&producer, "a");
    let (right, wrong) = (expecting("b", 1), expecting("c", 1));
    let after = send(&producer, "d");
    assert_eq!(offset(&right), 1, "it does not linger, and takes with it what was before it");
    assert_eq!(refusal(told(&wrong)).detail, crate::message::Detail::LogEnd(crate::offset::Offset::new(2)));
    producer.flush().unwrap();
    assert_eq!((offset(&before), offset(&after)), (0, 2));
    assert_eq!(node.log(0), ["a", "b", "d"]);
    assert_eq!(node.out_of_order(), 0);
}

#[cfg(feature = "zstd-encoder")]
#[test]
fn batches_are_compressed_by_whoever_fills_them() {
    let node = HandNode::new(1);
    let producer = producer(&node, config().codec(crate::record::Codec::Zstd).level(1).batch_bytes(1000));
    let tickets: Vec<SendTicket> = (0..50).map(|number| send(&producer, &value(&number.to_string(), 100))).collect();
    producer.flush().unwrap();
    assert!(tickets.iter().map(offset).eq(0..50));
    assert_eq!(node.log(0)[7], value("7", 100));
}

#[cfg(not(feature = "gzip"))]
#[test]
fn a_codec_that_is_not_there_is_refused_before_a_record_is_taken() {
    let refused = Producer::new(HandNode::new(1) as Arc<_>, config().codec(crate::record::Codec::Gzip));
    assert!(matches!(refused, Err(crate::producer::ConfigError::Codec(_))));
}

#[cfg(feature = "async")]
#[test]
fn a_ticket_is_a_future() {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let node = HandNode::new(1);
    let producer = producer(&node, config());
    let (woken, mut ticket) = (Arc::new(Woken::default()), pin!(send(&producer, "v")));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(ticket.as_mut().poll(&mut context).is_pending());
    producer.flush().unwrap();
    assert!(woken.0.load(Ordering::SeqCst));
    assert!(matches!(ticket.poll(&mut context), Poll::Ready(Ok(_))));
}
