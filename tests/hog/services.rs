//! The roles as services: what a service manager hears from them on its socket, and that it hears nothing good from one
//! whose data path hangs. The test is the manager.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words, words_of};
use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// After that long without a word the watchdog would bite, in microseconds.
const WATCHDOG_USEC: &str = "1000000";

/// The socket of a service manager, and what was heard on it.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// One that listens, and a role that was told so.
    fn starts(scene: &Scene, name: &str, arguments: &[&OsStr]) -> (Self, Process) {
        let path = scene.path(&format!("{name}.socket"));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hog"));
        command
            .args(arguments)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", WATCHDOG_USEC)
            .env_remove("WATCHDOG_PID");
        let process = Process::start_command(&scene.path(""), name, command, Stdio::null());
        let heard = Vec::new();
        (Self { socket, heard }, process)
    }

    /// Takes what was said since.
    fn listen(&mut self) {
        let mut message = [0; 4096];
        while let Ok(len) = self.socket.recv(&mut message) {
            let message = std::str::from_utf8(&message[..len]).unwrap();
            self.heard.extend(message.lines().map(str::to_owned));
        }
    }

    fn count(&self, word: &str) -> usize {
        self.heard.iter().filter(|heard| *heard == word).count()
    }

    /// Waits until `word` was heard `times` more often than now.
    fn hears(&mut self, word: &str, times: usize) {
        let before = self.count(word);
        wait_until(&format!("{word} was heard {times} times more"), || {
            self.listen();
            self.count(word) >= before + times
        });
    }

    /// Waits for words about what is done that have `part` in them.
    fn hears_status(&mut self, part: &str) {
        wait_until(&format!("a status with {part:?} was heard"), || {
            self.listen();
            self.heard
                .iter()
                .any(|heard| heard.starts_with("STATUS=") && heard.contains(part))
        });
    }
}

fn sender_arguments(scene: &Scene, to: &str) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> =
        ["batchsend", "-g", GROUP, "--to", to].iter().map(Into::into).collect();
    for (flag, path) in [
        ("-d", scene.path("spool")),
        ("-m", scene.store()),
        ("--shm-dir", scene.shm_dir().to_owned()),
    ] {
        arguments.extend([flag.into(), path.into_os_string()]);
    }
    arguments
}

#[test]
fn a_sender_says_that_it_serves_that_it_moves_and_that_it_ends() {
    let scene = Scene::new();
    let owned = sender_arguments(&scene, "127.0.0.1:9");
    let arguments: Vec<_> = owned.iter().map(AsRef::<OsStr>::as_ref).collect();
    let (mut manager, mut sender) = Manager::starts(&scene, "batchsend", &arguments);
    manager.hears("READY=1", 1);
    assert!(hog_ring::group_dir(scene.shm_dir(), GROUP).join("lock").exists() && !scene.spooled().is_empty());
    manager.hears("WATCHDOG=1", 3);
    manager.hears_status(GROUP);
    sender.terminate();
    manager.hears("STOPPING=1", 1);
    sender.succeed();
    assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1")), (1, 1));
}

#[test]
fn a_receiver_says_that_it_serves_that_it_moves_and_that_it_ends() {
    let scene = Scene::new();
    let (archive, store) = (scene.path("archive").join("$GROUP"), scene.path("store-of-recv"));
    let mut arguments = words(&["batchrecv", "--listen", "127.0.0.1:0", "-d"]);
    arguments.extend([archive.as_os_str(), "-m".as_ref(), store.as_os_str()]);
    let (mut manager, mut receiver) = Manager::starts(&scene, "recv", &arguments);
    manager.hears("READY=1", 1);
    let address = receiver
        .first_line()
        .expect("it says where it listens before it says that it serves");
    manager.hears_status(&address);
    manager.hears("WATCHDOG=1", 2);
    // From here on there is a thread that syncs, which has to move too.
    let _sender = scene.sender(&[&address]);
    scene.log(&[&scene.file("input.log", b"line\n")]);
    scene.wait_acked();
    manager.hears("WATCHDOG=1", 3);
    receiver.terminate();
    manager.hears("STOPPING=1", 1);
    receiver.succeed();
}

#[test]
fn a_local_says_that_it_serves_that_it_moves_and_that_it_ends() {
    let scene = Scene::new();
    let owned = scene.local_arguments(&[GROUP], "local", &[]);
    let (mut manager, mut local) = Manager::starts(&scene, "local", &words_of(&owned));
    manager.hears("READY=1", 1);
    assert!(hog_ring::group_dir(scene.shm_dir(), GROUP).join("lock").exists());
    scene.log(&[&scene.file("input.log", b"line\n")]);
    scene.wait_stored();
    manager.hears("WATCHDOG=1", 3);
    manager.hears_status("web: 0 appends not synced");
    local.terminate();
    manager.hears("STOPPING=1", 1);
    local.succeed();
}

#[test]
fn an_engine_that_waits_for_room_is_well() {
    let scene = Scene::new();
    let input = scene.file("input.log", scene.lines(1 << 20));
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(words(&["--ring-size", "64KiB"]));
    let (mut manager, mut engine) = Manager::starts(&scene, "engine", &arguments);
    manager.hears("READY=1", 1);
    // Nobody drains.
    wait_until("the ring is full", || scene.progress().0 > 32 << 10);
    manager.hears("WATCHDOG=1", 5);
    engine.terminate();
    manager.hears("STOPPING=1", 1);
    engine.succeed();
}

#[test]
fn a_sender_that_waits_for_room_in_its_spool_is_well() {
    let scene = Scene::new();
    let input = scene.file("input.log", scene.lines(30 << 20));
    let mut owned = sender_arguments(&scene, "127.0.0.1:9");
    owned.extend(["--spool-max", "8MiB"].map(Into::into));
    let arguments: Vec<_> = owned.iter().map(AsRef::<OsStr>::as_ref).collect();
    let (mut manager, mut sender) = Manager::starts(&scene, "batchsend", &arguments);
    manager.hears("READY=1", 1);
    let _engine = scene.engine(&[&input]);
    wait_until("the spool takes nothing more", || sender.words().contains("is full ("));
    manager.hears("WATCHDOG=1", 5);
    sender.terminate();
    manager.hears("STOPPING=1", 1);
    sender.succeed();
}

#[test]
fn an_engine_that_follows_a_silent_file_is_well() {
    let scene = Scene::new();
    let input = scene.file("input.log", b"line\n");
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.push("--follow".as_ref());
    let (mut manager, mut engine) = Manager::starts(&scene, "engine", &arguments);
    manager.hears("READY=1", 1);
    manager.hears_status("following 1 file");
    manager.hears("WATCHDOG=1", 5);
    engine.terminate();
    manager.hears("STOPPING=1", 1);
    engine.succeed();
}

/// Holds one thread of a process up in each of its system calls, and nothing else of it; dropped, it lets go.
struct Hold(Child);

impl Hold {
    /// `None`, and a word about it, where that is not allowed.
    fn thread(scene: &Scene, process: &Process, name: &str) -> Option<Self> {
        Self::calls(scene, process, name, "all")
    }

    /// The same in some of its system calls alone.
    fn calls(scene: &Scene, process: &Process, name: &str, calls: &str) -> Option<Self> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
        let thread = tasks
            .map(|task| task.unwrap().path())
            .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name))
            .unwrap_or_else(|| panic!("no thread is called {name}"));
        let said = scene.path("strace.stderr");
        let strace = Command::new("strace")
            .args([
                "-e",
                &format!("inject={calls}:delay_enter=600s"),
                "-o",
                "/dev/null",
                "-p",
            ])
            .arg(thread.file_name().unwrap())
            .stderr(std::fs::File::create(&said).unwrap())
            .spawn();
        let mut hold = match strace {
            Ok(strace) => Self(strace),
            Err(error) => {
                eprintln!("that a sender which hangs is not said to be well is not tested: strace: {error}");
                return None;
            }
        };
        let mut is_attached = false;
        wait_until("strace has the thread, or gives up", || {
            is_attached = std::fs::read_to_string(&said).unwrap().contains("attached");
            is_attached || hold.0.try_wait().unwrap().is_some()
        });
        if !is_attached {
            let said = std::fs::read_to_string(&said).unwrap();
            eprintln!("that a sender which hangs is not said to be well is not tested: {said}");
            return None;
        }
        Some(hold)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_a_sender_one_of_whose_workers_hangs_nobody_hears_that_all_is_well() {
    for worker in ["drain web", "sync", "ship web to 127"] {
        let scene = Scene::new();
        let owned = sender_arguments(&scene, "127.0.0.1:9");
        let arguments: Vec<_> = owned.iter().map(AsRef::<OsStr>::as_ref).collect();
        let (mut manager, sender) = Manager::starts(&scene, "batchsend", &arguments);
        manager.hears("READY=1", 1);
        manager.hears("WATCHDOG=1", 2);
        let Some(hold) = Hold::thread(&scene, &sender, worker) else {
            return;
        };
        wait_until("the sender says which worker does not move", || {
            manager.listen();
            let words = sender.words();
            words
                .lines()
                .any(|line| line.contains(worker) && line.contains("did not move for"))
        });
        let before = manager.count("WATCHDOG=1");
        drop(hold);
        manager.hears("WATCHDOG=1", 2);
        assert!(before < manager.count("WATCHDOG=1"));
    }
}

/// Held within a system call, as a disk that does not answer holds it.
#[test]
fn a_drainer_that_hangs_in_the_kernel_is_replaced_and_lets_its_successor_be_when_it_comes_back() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--stall-timeout", "1s"]);
    let mut all = scene.lines(1 << 20);
    scene.log(&[&scene.file("before.log", &all)]);
    scene.wait_acked();
    let Some(hold) = Hold::thread(&scene, &sender, &format!("drain {GROUP}")) else {
        return;
    };
    let during = scene.lines(4 << 20);
    scene.log(&[&scene.file("during.log", &during)]);
    scene.wait_acked();
    assert!(
        sender.words().contains("drain web is started anew"),
        "{}",
        sender.words()
    );
    drop(hold);
    let after = scene.lines(1 << 20);
    scene.log(&[&scene.file("after.log", &after)]);
    scene.wait_acked();
    all.extend([during, after].concat());
    scene.assert_arrived(&receiver, &all);
}

/// A disk that does not answer: the receiver acknowledges nothing that is not on another one of its segments, and the sender goes on in another one too.
#[test]
fn syncs_that_hang_are_given_up_and_nothing_is_acknowledged_before_another_has_succeeded() {
    let scene = Scene::new();
    let (archive, store) = (scene.archive("recv").join("$GROUP"), scene.path("recv").join("store"));
    let mut arguments = words(&["batchrecv", "--listen", "127.0.0.1:0", "--stall-timeout", "1s", "-d"]);
    arguments.extend([archive.as_os_str(), "-m".as_ref(), store.as_os_str()]);
    let receiver = scene.start("recv", &arguments);
    wait_until("the receiver says where it listens", || receiver.first_line().is_some());
    let address = receiver.first_line().unwrap();
    let more = ["--stall-timeout", "1s", "--sync", "20ms"];
    let sender = scene.sender_with(&[GROUP], &[&address], &more);
    let mut all = scene.lines(1 << 20);
    scene.log(&[&scene.file("before.log", &all)]);
    scene.wait_acked();
    let held = [(&receiver, "sync web"), (&sender, "sync")].map(|(role, thread)| {
        // One at a time: both say what they have to say in the same file.
        Hold::calls(&scene, role, thread, "fdatasync")
    });
    if held.iter().any(Option::is_none) {
        return;
    }
    let during = scene.lines(1 << 20);
    scene.log(&[&scene.file("during.log", &during)]);
    scene.wait_acked();
    for (role, worker) in [(&receiver, "sync web"), (&sender, "sync")] {
        wait_until("a worker that hangs is replaced", || {
            role.words().contains(&format!("{worker} is started anew"))
        });
    }
    assert!(sender.words().contains("a sync of it hangs"), "{}", sender.words());
    assert!(
        receiver.words().contains("goes on in a new segment"),
        "{}",
        receiver.words()
    );
    drop(held);
    let after = scene.lines(1 << 20);
    scene.log(&[&scene.file("after.log", &after)]);
    scene.wait_acked();
    all.extend([during, after].concat());
    crate::arrived::assert_equal(&scene.raw(&scene.archive("recv")), &all);
    assert_eq!((receiver.words() + &sender.words()).matches("panicked").count(), 0);
}
