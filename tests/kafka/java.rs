//! Apache Kafka's jars, brought by Maven into the build folder, and the programs of `java/` compiled against them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A Java that knows Kafka. While one is held, no other test of this program starts one.
pub struct Java {
    classpath: String,
    _alone: MutexGuard<'static, ()>,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Java {
    /// Brings and compiles what is missing or old.
    pub fn ready() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let build = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kafka");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka");
        let (jars, classes) = (build.join("lib"), build.join("classes"));
        let pom = here.join("pom.xml");
        if is_newer(&pom, &jars.join("complete")) {
            bring_jars(&pom, &build);
            fs::write(jars.join("complete"), "").unwrap();
        }
        let sources = sources(&here.join("java"));
        if sources.iter().any(|source| is_newer(source, &classes.join("complete"))) {
            fs::create_dir_all(&classes).unwrap();
            run(Command::new("javac")
                .args(["-nowarn", "-cp"])
                .arg(jars.join("*"))
                .arg("-d")
                .arg(&classes)
                .args(&sources));
            fs::write(classes.join("complete"), "").unwrap();
        }
        let classpath = format!("{}:{}", classes.display(), jars.join("*").display());
        Self { classpath, _alone: alone }
    }

    /// A line for a shell script that runs the class `main` with the script's arguments, as [`Java::command`] would.
    pub fn shell_line(&self, main: &str) -> String {
        let command = self.command(main);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().expect("it is text"))).collect();
        format!("{} \"$@\"", words.join(" "))
    }

    /// A command that runs the class `main`, with a heap of at most 512 MiB.
    pub fn command(&self, main: &str) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"]);
        command.args(["-cp", &self.classpath, main]);
        command
    }

    /// Runs the class `main` to its end; its standard output.
    pub fn output(&self, main: &str, arguments: &[&str]) -> String {
        run(self.command(main).args(arguments))
    }
}

fn bring_jars(pom: &Path, build: &Path) {
    let to = format!("-Dottla.build={}", build.display());
    run(Command::new("mvn").args(["-q", "-B", &to, "-f"]).arg(pom).arg("dependency:copy-dependencies"));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|end| end == "java")).collect()
}

fn is_newer(source: &Path, than: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    modified(than).unwrap_or(SystemTime::UNIX_EPOCH) < modified(source).unwrap()
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (Java and Maven are needed)"));
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?} failed: {}\n{out}\n{err}", done.status);
    out.into_owned()
}
