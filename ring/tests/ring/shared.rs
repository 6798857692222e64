//! Rings shared with a Unix group: who may use what, from the first instant on. What users of other groups can do, and
//! what a drainer of another user does, is tested with the program.

use crate::scene::{NUMBER, Scene};
use hog_ring::{Resume, ShmGroup};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// A group that every user may give files to: his own.
fn own_group() -> ShmGroup {
    ShmGroup::of_gid(rustix::process::getegid().as_raw())
}

fn mode(path: &Path) -> u32 {
    let metadata = std::fs::metadata(path).unwrap();
    assert_eq!(metadata.gid(), own_group().gid(), "{}", path.display());
    metadata.permissions().mode() & 0o7777
}

#[test]
fn directory_doorbell_and_rings_are_shared_and_nothing_else_is_left() {
    let scene = Scene::new();
    let group = scene.options().shm_group(own_group()).open().unwrap();
    let _named = group.named_writer("named", Resume::Auto).unwrap();
    let _unnamed = group.writer().unwrap();
    assert_eq!(mode(&scene.directory()), 0o2770);
    assert_eq!(mode(&scene.directory().join("doorbell")), 0o660);
    assert_eq!(
        scene.rings().iter().map(|ring| mode(ring)).collect::<Vec<_>>(),
        [0o660, 0o660]
    );
    let names = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
    assert_eq!(
        (names(&scene.directory()), names(scene.directory().parent().unwrap())),
        (3, 1)
    );
}

#[test]
fn without_a_group_all_is_its_user_s_alone() {
    let scene = Scene::new();
    let group = scene.group();
    let _writer = group.writer().unwrap();
    let modes = [
        scene.directory(),
        scene.directory().join("doorbell"),
        scene.rings().remove(0),
    ];
    assert_eq!(modes.map(|path| mode(&path) & 0o777), [0o700, 0o600, 0o600]);
}

#[test]
fn what_earlier_runs_had_for_themselves_is_shared_by_the_first_that_is_told_to() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("named", Resume::Auto).unwrap();
    writer.set_state(b"state").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    drop(writer);
    let group = scene.options().shm_group(own_group()).open().unwrap();
    let heir = group.named_writer("named", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"state");
    let modes = [
        scene.directory(),
        scene.directory().join("doorbell"),
        scene.rings().remove(0),
    ];
    assert_eq!(modes.map(|path| mode(&path)), [0o2770, 0o660, 0o660]);
}
