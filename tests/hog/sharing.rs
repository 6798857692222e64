//! Rings of one user that a sender of another user drains, because both are members of a Unix group; and what happens when a
//! ring or its directory is not shared. Only root can start programs as other users: without that, these tests are skipped.

use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words};
use std::ffi::OsStr;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Users and groups that need not exist: the kernel knows numbers alone.
const PRODUCER: u32 = 64_001;
const HEIR: u32 = 64_002;
const SENDER: u32 = 64_003;
const SHARED_WITH: u32 = 64_004;

/// A scene in which several users have directories of their own, and all of them the program and a place for rings.
struct Users {
    scene: Scene,
    program: PathBuf,
}

impl Users {
    /// `None`, and a word about it, where programs cannot be started as other users.
    fn new(test: &str) -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
        if !is_root || !has_setpriv {
            eprintln!("{test} is skipped: it needs root, and setpriv of util-linux");
            return None;
        }
        let scene = Scene::new();
        let program = scene.path("hog");
        let built = Path::new(env!("CARGO_BIN_EXE_hog"));
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program).unwrap();
        }
        set_permissions(scene.path(""), Permissions::from_mode(0o755)).unwrap();
        set_permissions(scene.shm_dir(), Permissions::from_mode(0o1777)).unwrap();
        for user in [PRODUCER, HEIR, SENDER] {
            let home = scene.path(&user.to_string());
            std::fs::create_dir(&home).unwrap();
            chown(&home, Some(user), Some(user)).unwrap();
        }
        Some(Self { scene, program })
    }

    /// Starts `hog` as `user`, a member of `group` if one is given, who lets nobody read what he makes.
    fn start(&self, user: u32, group: Option<u32>, name: &str, arguments: &[&OsStr], stdin: Stdio) -> Process {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.arg(group.map_or("--clear-groups".to_owned(), |group| format!("--groups={group}")));
        command.args(["sh", "-c", "umask 077; exec \"$@\"", "sh"]);
        command.arg(&self.program).args(arguments);
        Process::start_command(&self.scene.path(""), name, command, stdin)
    }

    fn engine(&self, user: u32, shared: &[&str], inputs: &[&Path], stdin: Stdio) -> Process {
        self.engine_of(user, Some(SHARED_WITH), shared, inputs, stdin)
    }

    fn engine_of(&self, user: u32, group: Option<u32>, shared: &[&str], inputs: &[&Path], stdin: Stdio) -> Process {
        let store = self.scene.path(&user.to_string()).join("engine-store");
        let mut arguments = self.scene.engine_arguments(GROUP, inputs);
        // Each user's own: what one makes the others may not read.
        if let Some(at) = arguments.iter().position(|argument| *argument == "-m") {
            arguments[at + 1] = store.as_os_str();
        }
        arguments.extend(words(shared));
        self.start(user, group, "engine", &arguments, stdin)
    }

    fn sender(&self, receiver: &Receiver, more: &[&str]) -> Process {
        let home = self.scene.path(&SENDER.to_string());
        let (spool, store) = (home.join("spool"), home.join("store"));
        let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &receiver.address, "-d"]);
        arguments.extend([spool.as_os_str(), "-m".as_ref(), store.as_os_str()]);
        arguments.extend(["--shm-dir".as_ref(), self.scene.shm_dir().as_os_str()]);
        arguments.extend(words(more));
        self.start(SENDER, Some(SHARED_WITH), "batchsend", &arguments, Stdio::null())
    }

    /// What the sender's faults say of `path`. Its own user asks: SQLite makes files beside the database for who reads it, and one who starts meanwhile may not open
    /// those of another.
    fn faults_of(&self, path: &Path) -> Vec<String> {
        let store = self.scene.path(&SENDER.to_string()).join("store");
        let mut arguments = words(&["status", "--format", "json", "-m"]);
        arguments.push(store.as_os_str());
        let output = self
            .start(SENDER, None, "status", &arguments, Stdio::null())
            .finish()
            .output;
        let Ok(status) = serde_json::from_slice::<serde_json::Value>(&output) else {
            return Vec::new();
        };
        let faults = status["faults"].as_array().unwrap().iter();
        faults
            .filter(|fault| fault["object"] == *path.to_str().unwrap())
            .map(|fault| fault["what"].as_str().unwrap().to_owned())
            .collect()
    }

    fn arrives(&self, receiver: &Receiver, expected: &[u8]) {
        wait_until("all has arrived", || {
            receiver.archive.join(GROUP).exists() && self.scene.raw(&receiver.archive).len() >= expected.len()
        });
        self.scene.assert_arrived(receiver, expected);
    }

    /// An input that the producers may read.
    fn input(&self, bytes: &[u8]) -> PathBuf {
        let path = self.scene.file("input.log", bytes);
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path
    }
}

const SHARED: [&str; 2] = ["--shm-group", "64004"];

#[test]
fn a_sender_drains_what_other_users_of_its_group_log_and_heirs_may_be_yet_others() {
    let Some(users) = Users::new("draining rings of other users") else {
        return;
    };
    let scene = &users.scene;
    let (first, second, piped) = (scene.lines(1 << 20), scene.lines(1 << 20), scene.lines(1 << 18));
    let receiver = scene.receiver("recv");
    let mut small = SHARED.to_vec();
    small.extend(["--ring-size", "64KiB"]); // the producer waits for the sender, and is woken by it
    let input = users.input(&first);
    let engine = users.engine(PRODUCER, &small, &[&input], Stdio::null());
    wait_until("the producer has its ring", || !scene.rings().is_empty());
    let _sender = users.sender(&receiver, &SHARED);
    engine.succeed();
    users.input(&[&first[..], &second].concat());
    users.engine(HEIR, &small, &[&input], Stdio::null()).succeed();
    users.arrives(&receiver, &[&first[..], &second].concat());
    // One that is killed: the sender sees it, ends its ring and deletes it, though the file is another user's.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut engine = users.engine(PRODUCER, &SHARED, &[], reader.into());
    std::io::Write::write_all(&mut writer, &piped).unwrap();
    users.arrives(&receiver, &[&first[..], &second, &piped].concat());
    assert_eq!(scene.rings().len(), 2);
    engine.kill();
    wait_until("the killed producer's ring is gone", || scene.rings().len() == 1);
}

#[test]
fn a_ring_that_is_not_shared_is_reported_once_and_drained_once_it_is() {
    let Some(users) = Users::new("a ring that is not shared") else {
        return;
    };
    let scene = &users.scene;
    let bytes = scene.lines(10_000);
    let receiver = scene.receiver("recv");
    let mut sender = users.sender(&receiver, &SHARED);
    wait_until("the sender has made the directory", || {
        hog_ring::group_dir(scene.shm_dir(), GROUP).join("doorbell").exists()
    });
    users
        .engine(PRODUCER, &[], &[&users.input(&bytes)], Stdio::null())
        .succeed();
    let ring = scene.rings().remove(0);
    wait_until("the sender has reported it", || !users.faults_of(&ring).is_empty());
    assert!(
        users.faults_of(&ring)[0].contains("--shm-group"),
        "{:?}",
        users.faults_of(&ring)
    );
    set_permissions(&ring, Permissions::from_mode(0o660)).unwrap();
    chown(&ring, None, Some(SHARED_WITH)).unwrap();
    users.arrives(&receiver, &bytes);
    assert_eq!((users.faults_of(&ring).len(), sender.is_running()), (1, true));
}

#[test]
fn a_ring_directory_of_another_user_is_reported_once_and_drained_once_it_may_be() {
    let Some(users) = Users::new("a ring directory of another user") else {
        return;
    };
    let scene = &users.scene;
    let bytes = scene.lines(10_000);
    let receiver = scene.receiver("recv");
    users
        .engine(PRODUCER, &[], &[&users.input(&bytes)], Stdio::null())
        .succeed();
    let directory = hog_ring::group_dir(scene.shm_dir(), GROUP);
    let once = users
        .sender(&receiver, &["--shm-group", "64004", "--drain-and-exit"])
        .finish();
    assert_eq!(once.code, Some(1), "{}", once.words);
    assert!(once.words.contains(directory.to_str().unwrap()), "{}", once.words);
    let mut sender = users.sender(&receiver, &SHARED);
    wait_until("the sender has reported it", || !users.faults_of(&directory).is_empty());
    for (path, mode) in [
        (scene.rings().remove(0), 0o660),
        (directory.join("doorbell"), 0o660),
        (directory.clone(), 0o2770),
    ] {
        chown(&path, None, Some(SHARED_WITH)).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    users.arrives(&receiver, &bytes);
    assert_eq!((users.faults_of(&directory).len(), sender.is_running()), (1, true));
}

#[test]
fn who_is_no_member_of_the_group_cannot_share_with_it() {
    let Some(users) = Users::new("sharing with a group of others") else {
        return;
    };
    let scene = &users.scene;
    let input = users.input(b"line\n");
    let refused = users
        .engine_of(PRODUCER, None, &SHARED, &[&input], Stdio::null())
        .finish();
    assert_eq!(refused.code, Some(1), "{}", refused.words);
    assert!(
        refused.words.contains("64004") && refused.words.contains("member"),
        "{}",
        refused.words
    );
    let left = std::fs::read_dir(scene.shm_dir().join("hog")).unwrap().count();
    assert_eq!(left, 0, "a directory was left behind");
}
