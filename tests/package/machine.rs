//! A machine that is thrown away: this one's programs and files, with systemd running, in namespaces of its own. What is done
//! there is undone when it ends; `machine.sh` makes it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What `machine.sh` and whoever works on the machine need.
pub(crate) const NEEDED: [&str; 9] = [
    "bash",
    "ip",
    "mount",
    "nsenter",
    "pivot_root",
    "setpriv",
    "systemctl",
    "timeout",
    "unshare",
];
const SYSTEMD: &str = "/lib/systemd/systemd";
/// How long the machine may take to start.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long one command may take: the longest builds a crate.
const COMMAND_SECONDS: &str = "300";
/// Variables by which cargo is found.
const PASSED_ON: [&str; 4] = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

/// Why there can be none here.
pub(crate) fn cannot() -> Option<String> {
    if !Path::new(SYSTEMD).exists() {
        return Some(format!("there is no {SYSTEMD}"));
    }
    let installed = ["/usr/bin/hog", "/etc/hog"]
        .iter()
        .find(|path| Path::new(path).exists());
    installed.map(|path| format!("hog is installed here: {path}"))
}

/// Control groups of a machine, which outlive its processes.
struct ControlGroup(PathBuf);

impl ControlGroup {
    /// A new one below this process's own.
    fn new() -> Result<Self, String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts
            .find(|mount| mount[2] == "cgroup2")
            .ok_or("there is no cgroup2")?;
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
        let path = Path::new(mount[1])
            .join(own)
            .join(format!("hog-test-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn remove(path: &Path) -> bool {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                Self::remove(&entry.path());
            }
        }
        std::fs::remove_dir(path).is_ok() || !path.exists()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Its processes were killed, and are gone before long.
        let deadline = Instant::now() + STARTS_WITHIN;
        while !Self::remove(&self.0) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) struct Machine {
    /// Its first process's parent. Killed, it takes all with it.
    parent: Child,
    /// Its first process, as seen from here.
    first: String,
    /// Where commands run; `cd` stays in effect.
    directory: String,
    _groups: ControlGroup,
}

impl Machine {
    /// Starts one that has the packages in `debs`. Why not, in words, if this machine does not let it.
    pub(crate) fn start(scene: &Path, debs: &Path) -> Result<Self, String> {
        let groups = ControlGroup::new()?;
        let (script, said) = (
            manifest_dir().join("tests/package/machine.sh"),
            scene.join("machine.stderr"),
        );
        let (cache, base) = (
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("hour"),
            scene.join("machine"),
        );
        for directory in [&cache, &base] {
            std::fs::create_dir_all(directory).unwrap();
        }
        // It ends with this thread, however that ends.
        let parent = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "bash"])
            .arg(script)
            .args([manifest_dir(), &cache, debs, &base, &groups.0])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut machine = Self {
            parent,
            first: String::new(),
            directory: "/hour/hog".to_owned(),
            _groups: groups,
        };
        let deadline = Instant::now() + STARTS_WITHIN;
        while !machine.is_up() {
            let ended = machine.parent.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!(
                    "no systemd could be started apart from this machine's ({ended:?}): {}",
                    std::fs::read_to_string(said).unwrap()
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(machine)
    }

    /// Whether its systemd has started what it is to.
    fn is_up(&mut self) -> bool {
        let parent = self.parent.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        let Some(first) = children.split_whitespace().next() else {
            return false;
        };
        self.first = first.to_owned();
        let is_systemd = std::fs::read_to_string(format!("/proc/{first}/comm")).is_ok_and(|name| name == "systemd\n");
        is_systemd
            && self
                .command("systemctl is-active hour.target")
                .output()
                .unwrap()
                .status
                .success()
    }

    /// What a root who types `line` runs; `sudo` is there, and does nothing. Bounded in time.
    pub(crate) fn command(&self, line: &str) -> Command {
        let script = format!(
            "set -euo pipefail\nsudo() {{ \"$@\"; }}\ncd {}\n{line}\npwd >/hour/directory",
            self.directory
        );
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/usr/bin:/sbin:/bin");
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first])
            .args(["--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--"])
            .args(["timeout", "--kill-after=5", COMMAND_SECONDS, "bash", "-c", &script])
            .env_clear()
            .envs(
                PASSED_ON
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs([("PATH", path), ("USER", OsString::from("root")), ("LC_ALL", "C".into())])
            .envs([("CARGO_TARGET_DIR", "/hour/cache"), ("CARGO_NET_OFFLINE", "true")])
            .stdin(Stdio::null());
        command
    }

    /// Runs it, whatever comes of it.
    pub(crate) fn try_run(&mut self, line: &str) -> Output {
        let output = self.command(line).output().unwrap();
        if output.status.success() {
            let directory = self.command("cat /hour/directory").output().unwrap();
            // That command was run in the former directory, and noted it after it had read the new one.
            self.directory = String::from_utf8(directory.stdout).unwrap().trim_end().to_owned();
        }
        output
    }

    /// Runs it, which must succeed; what it printed.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let output = self.try_run(line);
        let (said, printed) = (
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout),
        );
        assert!(output.status.success(), "{line}: {} {said} {printed}", output.status);
        printed.into_owned()
    }
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}
