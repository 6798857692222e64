//! The Debian package: made from the program under test, installed into a tree of its own, removed and purged there. The
//! machine is not touched: dpkg and the package's scripts work below that tree (`DPKG_ROOT`).
//!
//! It needs cargo-deb, dpkg, systemd's tools for users and directories, and root, who alone can give files to others; where one
//! is missing, the test is skipped with a word.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test: what fails is to be seen where it fails

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NEEDED: [&str; 5] = ["cargo-deb", "dpkg", "dpkg-deb", "systemd-sysusers", "systemd-tmpfiles"];

/// What is missing, in words.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let is_there = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    if let Some(tool) = NEEDED.iter().find(|tool| !is_there(tool)) {
        return Some(format!("there is no {tool}"));
    }
    let forces = Command::new("dpkg").arg("--force-help").output().unwrap();
    let can_stay_outside = String::from_utf8_lossy(&forces.stdout).contains("script-chrootless");
    (!can_stay_outside).then(|| "this dpkg runs a package's scripts only in a chroot".to_owned())
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    output
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes the package, with the program under test as its release build.
fn package(scene: &Path) -> PathBuf {
    let target = scene.join("target");
    std::fs::create_dir_all(target.join("release")).unwrap();
    let (built, placed) = (Path::new(env!("CARGO_BIN_EXE_hog")), target.join("release/hog"));
    if std::fs::hard_link(built, &placed).is_err() {
        std::fs::copy(built, &placed).unwrap();
    }
    let package = scene.join("hog.deb");
    succeed(
        Command::new("cargo-deb")
            .args([
                "--no-build",
                "--fast",
                "--no-dbgsym",
                "--strip",
                "--quiet",
                "--manifest-path",
            ])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .arg("--output")
            .arg(&package)
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_NET_OFFLINE", "true"),
    );
    package
}

/// A tree into which packages are installed.
struct Tree(PathBuf);

impl Tree {
    fn new(root: PathBuf) -> Self {
        for directory in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
        Self(root)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs dpkg on this tree. What the package depends on is not in it.
    fn dpkg(&self, action: &str, object: impl AsRef<OsStr>) -> Output {
        succeed(
            Command::new("dpkg")
                .arg(format!("--root={}", self.0.display()))
                .arg(format!("--log={}", self.path("dpkg.log").display()))
                .args(["--force-script-chrootless", "--force-depends", "--no-triggers", action])
                .arg(object),
        )
    }
}

#[test]
fn the_package_is_installed_removed_and_purged_and_what_was_logged_stays() {
    if let Some(missing) = missing() {
        eprintln!("the package is not tested: {missing}");
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    let package = package(scene.path());
    let listed = words(&succeed(Command::new("dpkg-deb").arg("--contents").arg(&package)));
    for path in [
        "usr/bin/hog",
        "usr/lib/systemd/system/hog-batchsend@.service",
        "usr/share/man/man1/hog.1.gz",
        "usr/share/man/man5/hog-formats.5.gz",
        "usr/share/bash-completion/completions/hog",
        "usr/share/doc/hog/copyright",
        "usr/share/doc/hog/README.md",
        "usr/share/doc/hog/examples/batchsend.env",
    ] {
        assert!(
            listed.lines().any(|line| line.ends_with(&format!("./{path}"))),
            "no {path} in {listed}"
        );
    }

    let tree = Tree::new(scene.path().join("root"));
    tree.dpkg("--install", &package);
    let version = words(&succeed(Command::new(tree.path("usr/bin/hog")).arg("--version")));
    assert_eq!(version, format!("hog {}\n", env!("CARGO_PKG_VERSION")));
    let etc = |name: &str| std::fs::read_to_string(tree.path("etc").join(name)).unwrap();
    assert!(
        etc("passwd").contains("\nhog:") || etc("passwd").starts_with("hog:"),
        "{}",
        etc("passwd")
    );
    assert!(
        etc("group")
            .lines()
            .any(|line| line.starts_with("hog-rings:") && line.ends_with(":hog"))
    );
    let rings = std::fs::metadata(tree.path("dev/shm/hog")).unwrap();
    assert_eq!(rings.permissions().mode() & 0o7777, 0o1777);

    let data = tree.path("var/lib/hog/spool/web/seg");
    let settings = tree.path("etc/hog/batchsend-web.env");
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    std::fs::write(&data, "records").unwrap();
    std::fs::write(&settings, "HOG_TO=h:1\n").unwrap();
    tree.dpkg("--install", &package); // again, as an upgrade does
    tree.dpkg("--remove", "hog");
    let gone = [
        "usr/bin/hog",
        "usr/lib/systemd/system/hog-batchsend@.service",
        "usr/lib/tmpfiles.d/hog.conf",
    ];
    assert!(gone.iter().all(|name| !tree.path(name).exists()));
    let purged = words(&tree.dpkg("--purge", "hog"));
    assert!(purged.contains("var/lib/hog is left"), "{purged}");
    assert!(data.exists() && settings.exists());
    let known = words(&succeed(
        Command::new("dpkg")
            .arg(format!("--root={}", tree.0.display()))
            .arg("--get-selections"),
    ));
    assert_eq!(known, "");
}
