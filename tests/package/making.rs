//! Makes the packages, as `cargo deb` does, but of what was built for the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The package of a member of this workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// Program, units, documents.
    Hog,
    /// What programs in C are built with.
    Dev,
}

impl Package {
    /// The member of the workspace that it is made of.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Hog => env!("CARGO_PKG_NAME"),
            Self::Dev => "hog-ring-capi",
        }
    }

    /// The file that is built for it, and where its test's build is.
    fn built(self) -> (&'static str, PathBuf) {
        match self {
            Self::Hog => ("hog", env!("CARGO_BIN_EXE_hog").into()),
            // cargo puts it beside this test, which depends on its crate.
            Self::Dev => {
                let name = "libhog_ring_capi.a";
                (name, std::env::current_exe().unwrap().with_file_name(name))
            }
        }
    }

    /// Makes it in `directory`, under the name that cargo-deb gives it.
    pub(crate) fn make(self, directory: &Path) -> PathBuf {
        let target = directory.join(self.member());
        let (name, built) = self.built();
        let placed = target.join("release").join(name);
        std::fs::create_dir_all(placed.parent().unwrap()).unwrap();
        if std::fs::hard_link(&built, &placed).is_err() {
            std::fs::copy(&built, &placed).unwrap();
        }
        let made = succeed(
            Command::new("cargo-deb")
                .args(["--no-build", "--fast", "--no-dbgsym", "--strip", "--quiet"])
                .args(["--package", self.member(), "--manifest-path"])
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
                .arg("--output")
                .arg(directory)
                .env("CARGO_TARGET_DIR", target)
                .env("CARGO_NET_OFFLINE", "true"),
        );
        PathBuf::from(words(&made).trim_end())
    }
}

/// The first of `tools` that this machine does not have, in words.
pub(crate) fn missing(tools: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let is_there = |tool: &&&str| Command::new(tool).arg("--version").output().is_ok();
    let tool = tools.iter().find(|tool| !is_there(tool))?;
    Some(format!("there is no {tool}"))
}

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    output
}

pub(crate) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
