//! Archives that rings are drained into on the same host.

use crate::{Store, begin};

#[test]
fn of_each_group_the_archive_that_was_opened_last_is_shown() {
    let store = Store::new();
    let mut stat = store.open();
    let (first, second) = (begin(&mut stat, 1), begin(&mut stat, 2));
    stat.register_archive(first, "web", "/a/web/$DATE", 1).unwrap();
    stat.register_archive(first, "db", "/a/db/$DATE", 1).unwrap();
    stat.register_archive(second, "web", "/b/web/$DATE", 2).unwrap();
    stat.register_archive(second, "web", "/c/web", 3).unwrap();
    let archives = stat.overview().unwrap().archives;
    let shown: Vec<_> = archives
        .iter()
        .map(|archive| (archive.session, archive.group.as_str(), archive.directory.as_str()))
        .collect();
    assert_eq!(shown, [(first, "db", "/a/db/$DATE"), (second, "web", "/b/web/$DATE")]);
}
