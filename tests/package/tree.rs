//! Packages installed into a tree of files, which dpkg and the packages' scripts know as the root (`DPKG_ROOT`).

use crate::making::{Package, missing, succeed, words};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const NEEDED: [&str; 5] = ["cargo-deb", "dpkg", "dpkg-deb", "systemd-sysusers", "systemd-tmpfiles"];

/// Why it cannot be tested here.
fn cannot() -> Option<String> {
    missing(&NEEDED).or_else(|| {
        let forces = Command::new("dpkg").arg("--force-help").output().unwrap();
        let can_stay_outside = words(&forces).contains("script-chrootless");
        (!can_stay_outside).then(|| "this dpkg runs a package's scripts only in a chroot".to_owned())
    })
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

    fn etc(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("etc").join(name)).unwrap()
    }

    fn has_line(&self, name: &str, begin: &str, end: &str) -> bool {
        let text = self.etc(name);
        text.lines().any(|line| line.starts_with(begin) && line.ends_with(end))
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

    fn known(&self) -> String {
        let root = format!("--root={}", self.0.display());
        words(&succeed(Command::new("dpkg").args([&root, "--get-selections"])))
    }
}

#[test]
fn the_package_is_installed_removed_and_purged_and_what_was_logged_stays() {
    if let Some(reason) = cannot() {
        eprintln!("that the package is installed and removed is not tested: {reason}");
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    let package = Package::Hog.make(scene.path());
    let tree = Tree::new(scene.path().join("root"));
    tree.dpkg("--install", &package);
    let version = words(&succeed(Command::new(tree.path("usr/bin/hog")).arg("--version")));
    assert_eq!(version, format!("hog {}\n", env!("CARGO_PKG_VERSION")));
    assert!(tree.has_line("passwd", "hog:", ""), "{}", tree.etc("passwd"));
    assert!(tree.has_line("group", "hog-rings:", ":hog"), "{}", tree.etc("group"));
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
    assert_eq!(tree.known(), "");
}

#[test]
fn with_the_package_for_c_a_program_is_built_by_what_pkg_config_says() {
    if let Some(reason) = cannot().or_else(|| missing(&["cc", "pkg-config"])) {
        eprintln!("that the package for C serves a compiler is not tested: {reason}");
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    let tree = Tree::new(scene.path().join("root"));
    tree.dpkg("--install", Package::Dev.make(scene.path()));
    let says = words(&succeed(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "hog"])
            .env("PKG_CONFIG_SYSROOT_DIR", &tree.0)
            .env("PKG_CONFIG_LIBDIR", tree.path("usr/lib/pkgconfig")),
    ));
    let program = scene.path().join("log");
    succeed(
        Command::new("cc")
            .arg(tree.path("usr/share/doc/hog-dev/examples/log.c"))
            .args(says.split_whitespace())
            .arg("-o")
            .arg(&program),
    );
    let shm = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let logged = succeed(Command::new(&program).arg("web").arg(shm.path()));
    assert_eq!(words(&logged), "logged 0 to 999\n");
    tree.dpkg("--purge", "hog-dev");
    assert!(!tree.path("usr/include/hog.h").exists());
    assert_eq!(tree.known(), "");
}
