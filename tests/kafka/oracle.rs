//! The oracle: Kafka's own log in a Java process of its own, one JSON line to ask, one to answer.
//!
//! `java/LogOracle.java` lists the operations. Same lines, same answers: its clock and its jobs move only when told.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::java::Java;

/// The process. Dropping it ends it.
pub struct Oracle {
    process: Child,
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
    /// How many lines it has answered.
    pub asked: u64,
}

/// What Kafka threw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The error's code in Kafka's protocol, if it has one.
    pub code: Option<i64>,
    /// The exception's name.
    pub name: String,
    /// What it says.
    pub message: String,
}

impl Oracle {
    pub fn start(java: &Java) -> Self {
        let mut command = java.command("LogOracle");
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("java starts");
        let to = process.stdin.take().map(BufWriter::new);
        let from = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, to, from, asked: 0 }
    }

    /// Sends one operation and waits for its answer.
    pub fn ask(&mut self, op: &str, fields: Value) -> Result<Value, Refusal> {
        let mut request = fields;
        request["op"] = json!(op);
        let to = self.to.as_mut().expect("it is open until it is dropped");
        writeln!(to, "{request}").and_then(|()| to.flush()).expect("the oracle listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the oracle answers");
        self.asked += 1;
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        if answer.get("ok").is_some() {
            return Ok(answer["ok"].take());
        }
        // This one only wraps what was wrong with the records.
        let outer = if answer["error"] == "RecordValidationException" { "cause" } else { "error" };
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        Err(Refusal { code: answer["code"].as_i64(), name: text(outer), message: text("message") })
    }

    /// As [`Oracle::ask`], for what Kafka never refuses.
    pub fn told(&mut self, op: &str, fields: Value) -> Value {
        let said = fields.to_string();
        self.ask(op, fields).unwrap_or_else(|refusal| panic!("{op} {said}: {refusal:?}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.to.take());
        if self.process.wait().is_err() {
            let _ = self.process.kill();
        }
    }
}
