//! What a queue tells while it works: every span and number of its page, and no other.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use ottla::Queue;
use ottla::consumer::OffsetReset;
use ottla::disk::MemDisk;
use ottla::message::{AtSpaceBound, ConfigChange, ConfigOperation, TopicConfig};
use ottla::producer::WhenFull;
use ottla::queue::{ConsumerConfig, ProducerConfig, Record};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata as About, Subscriber};

const PAGE: &str = include_str!("../src/queue/telemetry.md");
const LONG: Duration = Duration::from_secs(30);

/// The sums of all that was told.
#[derive(Clone, Default)]
struct Told {
    numbers: Arc<Mutex<BTreeMap<String, f64>>>,
    spans: Arc<Mutex<BTreeSet<String>>>,
}

impl Told {
    fn add(&self, name: &str, by: f64) {
        *self.numbers.lock().unwrap().entry(name.to_owned()).or_default() += by;
    }

    fn of(&self, name: &str) -> f64 {
        self.numbers.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

struct One(Told, String);

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.0.add(&self.1, value as f64);
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.0.add(&self.1, value);
    }
    fn decrement(&self, value: f64) {
        self.0.add(&self.1, -value);
    }
    fn set(&self, _: f64) {}
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        assert!(value >= 0.0, "{}", self.1);
        self.0.add(&self.1, 1.0);
    }
}

impl Recorder for Told {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(One(self.clone(), key.name().to_owned())))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(One(self.clone(), key.name().to_owned())))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(One(self.clone(), key.name().to_owned())))
    }
}

impl Subscriber for Told {
    fn enabled(&self, about: &About<'_>) -> bool {
        about.target().starts_with("ottla")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.spans.lock().unwrap().insert(span.metadata().name().to_owned());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Values<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.spans.lock().unwrap().insert(event.metadata().name().to_owned());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The names of the page that begin so.
fn on_the_page(prefix: &str) -> BTreeSet<String> {
    PAGE.split('`').filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

fn set(queue: &Queue, key: &str, value: &str) {
    set_of(queue, "orders", key, value);
}

fn set_of(queue: &Queue, topic: &str, key: &str, value: &str) {
    let change = ConfigChange { key: key.to_owned(), operation: ConfigOperation::Set(value.to_owned()) };
    queue.alter_config(topic, vec![change]).unwrap();
}

#[test]
fn every_name_of_the_page_is_told_and_no_other_and_the_numbers_add_up() {
    let told = Told::default();
    metrics::set_global_recorder(told.clone()).map_err(|error| error.to_string()).unwrap();
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    let disk = MemDisk::new();
    let topic = ottla::id::TopicName::new("orders").unwrap();
    let open = || {
        Queue::builder()
            .topic_disk_bytes_max(topic.clone(), 100_000, AtSpaceBound::DropOldest)
            .upkeep_interval(Duration::from_millis(1))
            .open_on(vec![disk.clone()])
            .unwrap()
    };
    let queue = open();
    queue.create_topic("orders", 1, TopicConfig::default()).unwrap();
    set(&queue, "internal.segment.bytes", "20000");
    // Records linger until there is no memory for another.
    let waits = ProducerConfig::default().linger(Duration::from_secs(60)).memory_bytes(3_500);
    let producer = queue.producer(waits.when_full(WhenFull::Block { wait_max_ms: 30_000 })).unwrap();
    let tickets: Vec<_> =
        (0..200).map(|_| producer.send(Record::to("orders").value(vec![b'x'; 1000])).unwrap()).collect();
    producer.flush().unwrap();
    for ticket in &tickets {
        ticket.wait_timeout(LONG).unwrap().unwrap();
    }
    assert_eq!(told.of("ottla_records_in_total"), 200.0);
    assert!(told.of("ottla_bytes_in_total") > 200_000.0);
    let dropped = queue.disk_use().topics[&topic].dropped;
    assert_eq!(told.of("ottla_dropped_segments_total"), dropped.segments as f64);
    assert_eq!(told.of("ottla_dropped_bytes_total"), dropped.bytes as f64);
    // A topic that is compacted.
    queue.create_topic("prices", 1, TopicConfig::default().with_min_cleanable_dirty_ratio(0.01)).unwrap();
    for (key, value) in [("internal.segment.bytes", "4000"), ("cleanup.policy", "compact")] {
        set_of(&queue, "prices", key, value);
    }
    let before = (0..10_000).find(|_| {
        producer.send_and_wait(Record::to("prices").key("k").value(vec![b'x'; 1000])).unwrap();
        told.of("ottla_compacted_bytes_total") > 0.0
    });
    assert!(before.is_some() && told.of("ottla_compactions_total") >= told.of("ottla_compaction_seconds"));
    assert_eq!(told.of("ottla_compaction_errors_total"), 0.0);
    // A full disk.
    disk.set_capacity(Some(0));
    let hasty = queue.producer(ProducerConfig::default().linger(Duration::ZERO).retries(0)).unwrap();
    let send = || hasty.send_and_wait(Record::to("orders").value(vec![b'x'; 18_000]));
    let lost = (0..40).filter(|_| send().is_err()).count();
    assert!(lost > 0);
    assert_eq!(told.of("ottla_send_errors_total"), lost as f64);
    disk.set_capacity(None);
    drop((producer, hasty));
    let _ = queue.close();
    assert_eq!(told.of("ottla_partitions"), 0.0);
    // From files: what is read was closed before.
    let queue = open();
    assert!(told.of("ottla_partitions") > 0.0);
    let mut consumer = queue.consumer(&ConsumerConfig::default().reset(OffsetReset::Earliest)).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let read = consumer.poll(LONG).unwrap().len() as f64;
    assert!(told.of("ottla_records_out_total") >= read && told.of("ottla_bytes_out_total") > read * 1000.0);
    let before = told.of("ottla_flushes_total");
    assert!(before > 0.0 && told.of("ottla_flush_seconds") == before);
    // Upkeep comes by the clock.
    let has_come = || told.spans.lock().unwrap().contains("ottla.upkeep");
    (0..10_000).find(|_| has_come() || consumer.poll(Duration::from_millis(1)).is_err());
    let _ = queue.close();

    let spans = told.spans.lock().unwrap().clone();
    assert_eq!(spans, on_the_page("ottla."), "spans");
    let told: BTreeSet<_> = told.numbers.lock().unwrap().keys().cloned().collect();
    let missing: Vec<_> = on_the_page("ottla_").difference(&told).cloned().collect();
    assert!(missing.is_empty(), "not told: {missing:?}");
    assert!(told.is_subset(&on_the_page("ottla_")), "not on the page: {told:?}");
}
