//! Where a run goes on that finds files of several dates, some of them not hog's; and which failures are those of a full disk.

use super::*;
use crate::modes::archive_reader::fixture::{Fixture, line};
use crate::modes::archive_reader::{self, Depth, ReadError};
use crate::os::disk;

/// A disk that has everything.
struct Still;

impl Durability for Still {
    fn appended(&self) -> u64 {
        0
    }

    fn synced(&self) -> u64 {
        0
    }

    fn sync(&self, _pass: &Pass) {}
}

#[test]
fn files_of_the_original_on_a_later_date_have_nothing_exported_again() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a"), line(1, b"b")]);
    let directory = tempfile::tempdir().unwrap();
    let worker = Worker {
        files: HobbesFiles {
            series: Series::Transactions,
            goes_on: false,
        },
        pattern: ArchivePattern::new(&format!("{}/$GROUP/$DATE/data", directory.path().display())).unwrap(),
        group: "web".to_owned(),
        durability: Arc::new(Still),
        report: Arc::default(),
        has_begun: AtomicBool::new(false),
    };
    let writer = worker.writer("2026.11.20").unwrap();
    let mut exporter = HobbesExporter::new(writer, Selection::default(), io::stderr());
    archive_reader::read(&fixture.paths(), Depth::Records, &mut exporter).unwrap();
    exporter.commit().unwrap();
    let progress = exporter.writer.progress().clone();
    assert_ne!(progress, Progress::default());
    drop(exporter);
    for date in ["2026.11.21", "2026.11.22"] {
        let stem = worker.pattern.directory("web", date);
        std::fs::create_dir_all(stem.parent().unwrap()).unwrap();
        std::fs::write(stem.with_file_name("data-0.log"), "the original's").unwrap();
    }
    for date in ["2026.11.20", "2026.11.22", "2026.11.23"] {
        assert_eq!(*worker.writer(date).unwrap().progress(), progress, "{date}");
    }
}

#[test]
fn a_full_disk_is_told_from_other_failures_through_whatever_hands_it_on() {
    let of = |kind: io::ErrorKind| {
        let inner = disk::at("append to", Path::new("x"))(kind.into());
        AnyError::from(ReadError::Output(hobbes::WriteError::from(inner).into()))
    };
    assert!(is_full(&*of(io::ErrorKind::StorageFull)));
    assert!(!is_full(&*of(io::ErrorKind::PermissionDenied)));
}
