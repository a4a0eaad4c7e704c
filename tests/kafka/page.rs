//! The commands of the page "When one machine is not enough", run as they stand there.
//!
//! Kafka's distribution is not here, only its jars: each script of `bin/` that the page calls is one of three lines that
//! calls the class which that script calls (`CLASSES`). The machines `host1` and `host2` are ports of this one, and the
//! paths are in a folder of the test. Nothing else is replaced: the blocks go to `sh` whole.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ottla::Queue;

use crate::java::Java;
use crate::queue::{everything, filled, strays};

const PAGE: &str = include_str!("../../src/queue/kafka_page.md");

/// The class that each script calls, as they are in Kafka 4.3.
const CLASSES: [(&str, &str); 8] = [
    ("kafka-broker-api-versions.sh", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("kafka-server-start.sh", "kafka.Kafka"),
    ("kafka-storage.sh", "kafka.tools.StorageTool"),
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-consumer-groups.sh", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-console-consumer.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-reassign-partitions.sh", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
];

/// What `kafka-server-stop.sh` does, to the nodes of this test alone, and it waits for their end.
const STOP: &str = r#"#!/bin/sh
while read -r id properties; do
  grep -q "^node.id=${1#--node-id=}" "$properties" || continue
  kill "$id" 2> /dev/null || continue
  while grep -q '^State:.[^Z]' "/proc/$id/status" 2> /dev/null; do sleep 0.2; done
done < daemons
"#;

/// A fenced block of the page: what it is in, and its text.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = PAGE.split("\n```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').expect("a block has lines"));
    }
    blocks
}

/// A machine room: a folder where the page's commands are run.
struct Room {
    root: PathBuf,
    replaced: BTreeMap<&'static str, String>,
}

impl Room {
    fn new(java: &Java, root: &Path) -> Self {
        fs::create_dir(root.join("bin")).unwrap();
        for (script, class) in CLASSES {
            let line = java.shell_line(class);
            // What `-daemon` does: it goes on behind, and its process is noted for the end.
            let text = format!(
                "#!/bin/sh\nif [ \"$1\" = -daemon ]; then\n  shift\n  {line} >> daemon.log 2>&1 &\n  echo $! \"$1\" >> daemons\nelse\n  exec {line}\nfi\n"
            );
            write_script(&root.join("bin").join(script), &text);
        }
        write_script(&root.join("bin/kafka-server-stop.sh"), STOP);
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [clients, controller, second] = held.map(|port| format!("127.0.0.1:{}", port.local_addr().unwrap().port()));
        let path = |name: &str| root.join(name).display().to_string();
        let replaced = [
            ("host1:9092", clients),
            ("host1:9093", controller),
            ("host2:9092", second),
            ("/var/lib/queue", path("queue")),
            ("/var/lib/kafka", path("kafka")),
        ];
        Self { root: root.to_owned(), replaced: replaced.into() }
    }

    fn here(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// Runs a block to its end; what it printed.
    fn run(&self, block: &str) -> String {
        let done = Command::new("sh").args(["-e", "-c", &self.here(block)]).current_dir(&self.root).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let log = fs::read_to_string(self.root.join("daemon.log")).unwrap_or_default();
        assert!(done.status.success(), "{block}\n{}\n{out}\n{err}\n{log}", done.status);
        println!("{block}{out}");
        out.into_owned()
    }
}

/// Nothing goes on when a test has failed.
impl Drop for Room {
    fn drop(&mut self) {
        for id in fs::read_to_string(self.root.join("daemons")).unwrap_or_default().lines() {
            let id = id.split(' ').next().unwrap_or_default();
            let _ = Command::new("kill").args(["-9", id]).stderr(Stdio::null()).status();
        }
    }
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[ignore = "takes Java and Maven: .ci/run runs it where they are"]
fn the_commands_of_the_page_make_a_cluster_of_a_queue() {
    let (java, folder) = (Java::ready(), tempfile::tempdir().unwrap());
    let room = Room::new(&java, folder.path());
    let directory = folder.path().join("queue");
    let queue = filled(&directory);
    let expected = everything(&queue);
    assert!(queue.close().is_clean());

    let properties: Vec<&str> =
        blocks().iter().filter(|(kind, _)| *kind == "properties").map(|(_, text)| *text).collect();
    for (name, text) in ["host1.properties", "host2.properties"].iter().zip(&properties) {
        // A test machine has little memory: the cleaner takes 128 MiB otherwise.
        let text = format!("{}\nlog.cleaner.dedupe.buffer.size=4194304\n", room.here(text));
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut commands = blocks().into_iter().filter(|(kind, _)| *kind == "sh").map(|(_, text)| text);
    let mut next = || room.run(commands.next().expect("the page has a block more"));
    next();
    assert!(folder.path().join("queue.copy/meta.properties").exists());
    let looked = next();
    for told in ["Topic: orders", "PartitionCount: 3", "cleanup.policy=compact", "packed-zstd", "orders 299 "] {
        assert!(looked.contains(told), "{told} in\n{looked}");
    }
    let consumed = looked.lines().filter(|line| line.starts_with("orders ")).count();
    assert_eq!(consumed, 300, "{looked}");
    let committed = looked.lines().filter(|line| line.starts_with("billing")).count();
    assert_eq!(committed, 2, "{looked}");
    next();
    let moved = next();
    for told in ["Replicas: 1,2", "Replicas: 2,1"] {
        assert!(moved.contains(told), "{told} in\n{moved}");
    }
    next();
    next();
    assert!(commands.next().is_none(), "the page has blocks that nobody runs");
    assert_eq!(strays(&directory), [""; 0]);

    let queue = Queue::open(&directory).unwrap();
    let report = queue.report();
    assert!(report.failed.is_empty() && report.unknown.is_empty(), "{report}");
    assert_eq!(everything(&queue), expected);
}
