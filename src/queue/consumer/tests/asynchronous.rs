//! Polling as a future and as a stream, by hand.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;

use super::*;
use crate::message::ErrorCode;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_future_is_woken_by_what_comes_and_no_record_is_lost_by_dropping_it() {
    let (node, count) = (Node::with(1), Arc::new(Count::default()));
    let mut consumer = reading(&node, ConsumerConfig::default());
    let waker = count.waker();
    let mut context = Context::from_waker(&waker);
    assert!(pin!(consumer.poll_async()).poll(&mut context).is_pending());
    assert_eq!(count.woken(), 0);
    node.append("t-0", &["a"]);
    assert_eq!(count.woken(), 1);
    drop(consumer.poll_async());
    let Poll::Ready(records) = pin!(consumer.poll_async()).poll(&mut context) else { panic!("it was woken") };
    assert_eq!(values(&records.unwrap()), ["a"]);
    assert_eq!(node.fetches().len(), 2, "the one that waited, and the next");
}

#[test]
fn a_future_that_has_to_ask_again_is_woken_by_the_clock() {
    let (node, count) = (Node::with(1), Arc::new(Count::default()));
    node.append("t-0", &["a"]);
    node.refuse(&[ErrorCode::NotLeaderOrFollower]);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let waker = count.waker();
    let mut context = Context::from_waker(&waker);
    assert!(pin!(consumer.poll_async()).poll(&mut context).is_pending());
    node.tick(99);
    assert_eq!(count.woken(), 0);
    node.tick(1);
    assert_eq!(count.woken(), 1);
    assert!(pin!(consumer.poll_async()).poll(&mut context).is_ready());
}

#[test]
fn a_stream_gives_record_after_record_and_ends_when_the_queue_is_closed() {
    let (node, count) = (Node::with(1), Arc::new(Count::default()));
    node.append("t-0", &["a", "b"]);
    let mut consumer = reading(&node, ConsumerConfig::default());
    let waker = count.waker();
    let mut context = Context::from_waker(&waker);
    let mut stream = pin!(consumer.stream());
    for expected in [&b"a"[..], b"b"] {
        let Poll::Ready(Some(Ok(record))) = stream.as_mut().poll_next(&mut context) else { panic!("there is one") };
        assert_eq!(record.value(), Some(expected));
    }
    assert!(stream.as_mut().poll_next(&mut context).is_pending());
    node.stop();
    assert!(count.woken() >= 1);
    for _ in 0..2 {
        assert!(matches!(stream.as_mut().poll_next(&mut context), Poll::Ready(None)));
    }
}
