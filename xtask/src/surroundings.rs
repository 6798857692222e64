//! What a page says of files and of the environment, which the command line's definition does not have.
//!
//! A test holds the variables against those that the sources ask for.

/// A file or directory, or a variable of the environment, and the modes whose pages tell of it.
#[derive(Debug)]
pub struct Entry {
    /// Its path or name.
    pub name: &'static str,
    /// The modes it matters to.
    pub modes: &'static [&'static str],
    /// What it is for.
    pub words: &'static str,
}

/// Every mode: what the page of `hog` itself tells of, too.
pub const ALL_MODES: &[&str] = &[
    "engine",
    "batchsend",
    "batchrecv",
    "local",
    "cat",
    "export",
    "verify",
    "status",
    "faults",
    "recover",
    "gc",
    "demo",
];

/// Files and directories, in the order of a record's way.
pub const FILES: &[Entry] = &[
    Entry {
        name: "/dev/shm/hog/GROUP/*.ring",
        modes: &["engine", "batchsend", "local", "status", "recover", "gc"],
        words: "Rings: one for each thread that logs, or for each file of an engine. They outlive their process, and are gone with a reboot. \
                `--shm-dir` puts `hog` elsewhere, on tmpfs. When the last session of an ordinary user ends, systemd-logind deletes the rings that he \
                owns, drained or not, unless he lingers (`loginctl enable-linger USER`) or `/etc/systemd/logind.conf` says `RemoveIPC=no`. System users \
                are spared.",
    },
    Entry {
        name: "/dev/shm/hog/GROUP/doorbell",
        modes: &["engine", "batchsend", "local"],
        words: "By which producers wake the drainer.",
    },
    Entry {
        name: "/var/lib/hog/spool/GROUP/seg-*.hog",
        modes: &["batchsend", "cat", "verify", "status", "recover", "gc"],
        words: "The sender's spool: segments, deleted once every destination acknowledged them, but for the last. `-d` of `batchsend` names another \
                directory. Never copy a spool, and never restore an old one: to its receivers it is the same sender.",
    },
    Entry {
        name: "/var/lib/hog/archive/GROUP/DATE/seg-*.hog",
        modes: &["batchrecv", "local", "cat", "verify"],
        words: "The archive of a receiver, or of a local. hog deletes nothing there. `-d` of `batchrecv` and `local` puts it elsewhere.",
    },
    Entry {
        name: "/var/lib/hog/batchsend/hogstat.db",
        modes: &["batchsend", "status", "faults", "recover", "gc"],
        words: "A sender's sessions, rings, destinations, acknowledgements and faults: an SQLite database. `-m` names another directory.",
    },
    Entry {
        name: "/var/lib/hog/batchrecv/hogstat.db",
        modes: &["batchrecv", "status", "faults"],
        words: "The same of a receiver.",
    },
    Entry {
        name: "/var/lib/hog/local/hogstat.db",
        modes: &["local", "status", "faults"],
        words: "The same of a local.",
    },
    Entry {
        name: "lock",
        modes: &["batchsend", "batchrecv", "local", "export"],
        words: "In each ring directory, spool, archive and store, and in the directory `.hog` of an export: held by the one process that works there, and begins with its pid. That of an \
                archive is in the part of its path before the first `$`.",
    },
    Entry {
        name: ".hog/state.json",
        modes: &["export"],
        words: "In the directory of an export: up to where it has come, and what it was asked for. Without it the export cannot be gone on with. Beside it lie \
                files that are being written, as `N.part`.",
    },
    Entry {
        name: "/etc/hog/engine-GROUP.env, /etc/hog/batchsend-GROUP.env, /etc/hog/batchrecv-PORT.env",
        modes: &["engine", "batchsend", "batchrecv"],
        words: "Settings of the services `hog-engine@GROUP`, `hog-batchsend@GROUP` and `hog-batchrecv@PORT`. Samples, with what can be set, are in \
                `/usr/share/doc/hog/examples`.",
    },
];

/// Variables of the environment.
pub const ENVIRONMENT: &[Entry] = &[
    Entry {
        name: "HOBBES_STORE_DIR",
        modes: &["batchsend", "batchrecv", "local", "status", "faults", "recover", "gc"],
        words: "The store where `-m` is not given.",
    },
    Entry {
        name: "NOTIFY_SOCKET",
        modes: &["engine", "batchsend", "batchrecv", "local"],
        words: "Where the service manager hears that the role serves, what it does, and that it ends. Set by systemd for units of `Type=notify`.",
    },
    Entry {
        name: "NO_COLOR",
        modes: ALL_MODES,
        words: "Set and not empty: no colours, also on a terminal.",
    },
    Entry {
        name: "CLICOLOR",
        modes: &["cat"],
        words: "Set to 0: no colours.",
    },
    Entry {
        name: "CLICOLOR_FORCE",
        modes: &["cat"],
        words: "Set and not 0: colours, also where there is no terminal.",
    },
    Entry {
        name: "TZ",
        modes: &["batchrecv", "local", "cat"],
        words: "The time zone of `$DATE` and of times in text; otherwise the host's.",
    },
    Entry {
        name: "TMPDIR",
        modes: &["demo"],
        words: "Where the demonstration makes its spool and archive; otherwise `/tmp`. They are removed at its end.",
    },
];
