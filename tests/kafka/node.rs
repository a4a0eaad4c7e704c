//! A single Kafka node with its clients, in one Java process that listens on the loopback address alone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::java::Java;

/// The node. [`Node::stop`] shuts it down in order, dropping it kills it.
pub struct Node {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Node {
    /// Starts a node on the log directory `directory`, which it formats if it is new.
    pub fn start(java: &Java, directory: &Path) -> Self {
        let properties = directory.with_extension("properties");
        fs::write(&properties, self::properties(directory)).unwrap();
        let mut command = java.command("Node");
        command.arg(&properties).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("java starts");
        let to = process.stdin.take();
        let from = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut node = Self { process, to, from };
        assert_eq!(node.answer(), json!("started"));
        node
    }

    pub fn create_topic(&mut self, topic: &str, config: Value) {
        self.ask(json!({ "op": "create", "topic": topic, "config": config }));
    }

    /// Every record that a consumer gets of partition 0, to its end.
    pub fn consume(&mut self, topic: &str, isolation: &str) -> Vec<Value> {
        let all = self.ask(json!({ "op": "consume", "topic": topic, "isolation": isolation }));
        all.as_array().expect("a list").clone()
    }

    /// Every record that a consumer gets of a partition, to its end.
    pub fn consume_of(&mut self, topic: &str, partition: u32, isolation: &str) -> Vec<Value> {
        let request = json!({ "op": "consume", "topic": topic, "partition": partition, "isolation": isolation });
        self.ask(request).as_array().expect("a list").clone()
    }

    /// How many partitions each topic has, Kafka's own included.
    pub fn topics(&mut self) -> Value {
        self.ask(json!({ "op": "topics" }))
    }

    /// What was set for a topic.
    pub fn settings(&mut self, topic: &str) -> Value {
        self.ask(json!({ "op": "settings", "topic": topic }))
    }

    /// What a group has committed.
    pub fn committed(&mut self, group: &str) -> Value {
        self.ask(json!({ "op": "committed", "group": group }))
    }

    pub fn commit(&mut self, group: &str, topic: &str, offset: u64) {
        self.ask(json!({ "op": "commit", "group": group, "topic": topic, "offset": offset }));
    }

    /// The offsets that the values got.
    pub fn produce(&mut self, topic: &str, values: &[&str]) -> Vec<i64> {
        let all = self.ask(json!({ "op": "produce", "topic": topic, "values": values }));
        all.as_array().expect("a list").iter().filter_map(Value::as_i64).collect()
    }

    /// Shuts the node down as an operator would.
    pub fn stop(mut self) {
        drop(self.to.take());
        let status = self.process.wait().expect("it ends");
        assert!(status.success(), "the node ended with {status}");
    }

    fn ask(&mut self, request: Value) -> Value {
        let to = self.to.as_mut().expect("it is open until the node stops");
        writeln!(to, "{request}").expect("the node listens");
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the node answers");
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        assert!(answer.get("error").is_none(), "{answer}");
        answer["ok"].take()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.to.take().is_some() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn properties(directory: &Path) -> String {
    // Both held at once, so that they differ.
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [clients, controller] = held.map(|port| port.local_addr().expect("it is bound").port());
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{clients}\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         offsets.topic.replication.factor=1\nshare.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         log.index.size.max.bytes=16384\nlog.cleaner.dedupe.buffer.size=4194304\n\
         log.retention.ms=-1\nlog.dirs={}\n",
        directory.display()
    )
}
