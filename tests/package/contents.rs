//! What is said to be in the packages, held against those who count on it, without making them: their lists are in the
//! manifests, under `metadata.deb`.

use crate::making::{Package, succeed, words};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The manifest of the package's member, as cargo reads it.
fn manifest(package: Package) -> Value {
    let metadata = succeed(
        Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .current_dir(directory()),
    );
    let metadata: Value = serde_json::from_str(&words(&metadata)).unwrap();
    let mut members = metadata["packages"].as_array().unwrap().iter();
    members
        .find(|member| member["name"] == package.member())
        .unwrap()
        .clone()
}

/// Every file of the package, by its path on the machine it is installed on, from the file it is made of.
fn contents(package: Package) -> Vec<(PathBuf, String)> {
    let manifest = manifest(package);
    let home = Path::new(manifest["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap()
        .to_owned();
    let mut contents = Vec::new();
    for asset in manifest["metadata"]["deb"]["assets"].as_array().unwrap() {
        let (source, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        let sources = if source.starts_with("target/release/") {
            vec![PathBuf::from(source)]
        } else {
            let found = glob::glob(home.join(source).to_str().unwrap()).unwrap();
            found.map(Result::unwrap).collect()
        };
        assert!(
            !sources.is_empty(),
            "{source} is to be in the package, and there is none"
        );
        for source in sources {
            let name = if to.ends_with('/') {
                source.file_name().unwrap().to_str().unwrap()
            } else {
                ""
            };
            contents.push((source.clone(), format!("/{to}{name}")));
        }
    }
    contents
}

fn installed(package: Package) -> BTreeSet<String> {
    contents(package).into_iter().map(|(_, to)| to).collect()
}

#[test]
fn all_that_the_units_name_is_in_the_package() {
    let installed = installed(Package::Hog);
    let mut named = BTreeSet::new();
    for (source, to) in contents(Package::Hog) {
        let Some("service") = source.extension().and_then(|it| it.to_str()) else {
            continue;
        };
        assert!(to.starts_with("/usr/lib/systemd/system/"), "{to}");
        for line in std::fs::read_to_string(&source).unwrap().lines() {
            if let Some(program) = line.strip_prefix("ExecStart=") {
                named.insert(program.split(' ').next().unwrap().to_owned());
            }
            if let Some(page) = line.strip_prefix("Documentation=man:") {
                let page = page.strip_suffix("(1)").unwrap();
                named.insert(format!("/usr/share/man/man1/{page}.1"));
            }
            if let Some(settings) = line.strip_prefix("EnvironmentFile=-/etc/hog/") {
                let role = settings.strip_suffix("-%i.env").unwrap();
                named.insert(format!("/usr/share/doc/hog/examples/{role}.env"));
            }
        }
    }
    assert!(named.len() >= 7, "{named:?}");
    let missing: Vec<_> = named.difference(&installed).collect();
    assert!(
        missing.is_empty(),
        "named by units, and not in the package: {missing:?}"
    );
}

#[test]
fn every_unit_page_sample_and_completion_is_in_the_package() {
    let packed: BTreeSet<_> = contents(Package::Hog).into_iter().map(|(from, _)| from).collect();
    for of in ["scripts/systemd", "scripts/completions", "man", "docs"] {
        for entry in std::fs::read_dir(directory().join(of)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue; // evidence, which is for those who have the sources
            }
            assert!(packed.contains(&path), "{} is in no package", path.display());
        }
    }
}

#[test]
fn pkg_config_hears_this_version_and_where_the_package_puts_things() {
    let said = std::fs::read_to_string(directory().join("ring/capi/hog.pc")).unwrap();
    let version = format!("Version: {}", env!("CARGO_PKG_VERSION"));
    assert!(said.lines().any(|line| line == version), "not {version}: {said}");
    let installed = installed(Package::Dev);
    for path in [
        "/usr/include/hog.h",
        "/usr/lib/libhog_ring_capi.a",
        "/usr/lib/pkgconfig/hog.pc",
    ] {
        assert!(installed.contains(path), "no {path} in {installed:?}");
    }
}
