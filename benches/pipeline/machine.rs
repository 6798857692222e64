//! What a figure depends on besides hog: the machine, the kernel, the file system, and which commit was measured.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where and what was measured.
pub(crate) struct Machine {
    /// As git abbreviates it, with a `+` where something was changed since; none outside of a repository.
    pub(crate) commit: Option<String>,
    /// When the run began, UTC.
    pub(crate) time: jiff::Timestamp,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    kernel: String,
    file_system_type: String,
    load_average: String,
}

impl Machine {
    /// Looks at the machine, and at the file system of `directory`.
    pub(crate) fn look(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            commit: commit(),
            time: jiff::Timestamp::now(),
            processor: model.map_or("unknown", |(_, name)| name).to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system_type: rustix::fs::statfs(directory).map_or_else(
                |_| "unknown".to_owned(),
                |stat| match stat.f_type {
                    0xef53 => "ext4".to_owned(),
                    0x5846_5342 => "xfs".to_owned(),
                    0x9123_683e => "btrfs".to_owned(),
                    0x0102_1994 => "tmpfs".to_owned(),
                    other => format!("{other:#x}"),
                },
            ),
            load_average: read("/proc/loadavg").trim().to_owned(),
        }
    }

    /// Name of the file of this run: its day and the machine.
    pub(crate) fn file_name(&self) -> String {
        let word = |character: char| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        };
        let processor: String = self.processor.to_lowercase().chars().map(word).collect();
        let day = self.time.strftime("%Y-%m-%d");
        format!("{day}-{}-{}.json", processor.trim_matches('-'), self.processors)
    }

    /// One line that says it all, for below tables and plots.
    pub(crate) fn line(&self) -> String {
        format!(
            "commit {}, {}, {} ({} processors), Linux {}, {}",
            self.commit.as_deref().unwrap_or("unknown"),
            self.time.strftime("%Y-%m-%d"),
            self.processor,
            self.processors,
            self.kernel,
            self.file_system_type
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "commit": self.commit,
            "time": self.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "processor": self.processor,
            "processors": self.processors,
            "kernel": self.kernel,
            "file_system_type": self.file_system_type,
            "load_average": self.load_average,
        })
    }
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let out = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(commit + if changed.is_empty() { "" } else { "+" })
}
