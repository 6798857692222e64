//! Regions, their order, and their recovery.

use hogstat::{Error, NewRegion, RegionState, Stat};

use crate::{Store, begin, ring, uuid};

fn unfinished(stat: &Stat) -> Vec<u128> {
    stat.unfinished_regions("web")
        .unwrap()
        .iter()
        .map(|region| region.ring.as_u128())
        .collect()
}

#[test]
fn unfinished_regions_come_by_creation_then_by_who_was_seen_first() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    for new in [ring(60, 300), ring(63, 100), ring(62, 200), ring(61, 200)] {
        stat.register_region(session, &new, 5).unwrap();
    }
    stat.register_region(
        session,
        &NewRegion {
            group: "db",
            ..ring(64, 1)
        },
        5,
    )
    .unwrap();
    assert_eq!(unfinished(&stat), [63, 62, 61, 60]);
}

#[test]
fn several_regions_are_registered_as_one_by_one_or_not_at_all() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    let wrong = NewRegion {
        created: u64::MAX,
        ..ring(62, 0)
    };
    assert!(
        stat.register_regions(session, &[ring(61, 1), wrong.clone()], 5)
            .is_err()
    );
    assert_eq!(unfinished(&stat), []);
    stat.register_regions(session, &[ring(60, 300), ring(63, 100)], 5)
        .unwrap();
    stat.register_regions(session, &[], 6).unwrap();
    assert_eq!(unfinished(&stat), [63, 60]);
}

#[test]
fn regions_of_an_earlier_boot_come_first_whatever_its_clock_said() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    stat.register_region(session, &ring(60, 1_000_000), 1).unwrap();
    stat.register_region(
        session,
        &NewRegion {
            boot: uuid(0),
            ..ring(61, 5)
        },
        2,
    )
    .unwrap();
    stat.register_region(session, &ring(62, 2_000_000), 3).unwrap();
    assert_eq!(unfinished(&stat), [60, 62, 61]);
}

#[test]
fn ended_and_lost_and_abandoned_regions_are_finished_and_kept_and_adopted_ones_are_not() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    let states = [
        RegionState::Open,
        RegionState::Kept,
        RegionState::Ended,
        RegionState::Lost,
        RegionState::Abandoned,
        RegionState::Adopted,
    ];
    for (n, state) in (60..).zip(states) {
        stat.register_region(session, &ring(n, 1), 2).unwrap();
        stat.region_state(session, uuid(n), state, 64, 3).unwrap();
    }
    assert_eq!(unfinished(&stat), [60, 61, 65]);
    let overview = stat.overview().unwrap();
    let counts = overview.region_counts;
    assert_eq!((counts.open, counts.kept, counts.ended, counts.lost), (1, 1, 1, 1));
    assert_eq!((counts.abandoned, counts.adopted), (1, 1));
    let shown: Vec<_> = overview
        .regions
        .iter()
        .map(|region| (region.state, region.closed))
        .collect();
    assert_eq!(
        shown,
        [
            (RegionState::Open, None),
            (RegionState::Kept, Some(3)),
            (RegionState::Lost, Some(3)),
            (RegionState::Adopted, None)
        ]
    );
}

#[test]
fn region_registered_again_keeps_its_first_session_and_its_greatest_position() {
    let store = Store::new();
    let mut stat = store.open();
    let (first, second) = (begin(&mut stat, 1), begin(&mut stat, 2));
    stat.register_region(
        first,
        &NewRegion {
            position: 640,
            ..ring(60, 7)
        },
        10,
    )
    .unwrap();
    let renamed = NewRegion {
        position: 64,
        path: "/dev/shm/hog/web/x.ring",
        ..ring(60, 7)
    };
    stat.register_region(second, &renamed, 20).unwrap();
    let regions = stat.unfinished_regions("web").unwrap();
    let [region] = regions.as_slice() else {
        panic!("one region, not {regions:?}")
    };
    assert_eq!(
        (region.first_session, region.first_seen, region.position),
        (first, 10, 640)
    );
    assert_eq!(
        (region.path.as_str(), region.boot, region.created),
        ("/dev/shm/hog/web/x.ring", uuid(1), 7)
    );
}

#[test]
fn kept_and_lost_regions_open_again_with_their_ring_and_ended_ones_do_not() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    for (n, state) in (60..).zip([RegionState::Kept, RegionState::Lost, RegionState::Ended]) {
        stat.register_region(session, &ring(n, 1), 2).unwrap();
        stat.region_state(session, uuid(n), state, 64, 3).unwrap();
        stat.register_region(session, &ring(n, 1), 4).unwrap();
    }
    assert_eq!(unfinished(&stat), [60, 61]);
    stat.region_state(session, uuid(62), RegionState::Lost, 8, 5).unwrap();
    assert_eq!(stat.overview().unwrap().region_counts.ended, 1, "ended is for ever");
}

#[test]
fn an_abandoned_region_stays_so_whatever_is_noted_of_its_ring_and_an_adopted_one_until_it_is_kept() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    for (n, state) in (60..).zip([RegionState::Abandoned, RegionState::Adopted]) {
        stat.register_region(session, &ring(n, 1), 2).unwrap();
        stat.region_state(session, uuid(n), state, 64, 3).unwrap();
        stat.register_region(session, &ring(n, 1), 4).unwrap();
    }
    for state in [RegionState::Open, RegionState::Lost, RegionState::Ended] {
        stat.region_state(session, uuid(60), state, 72, 5).unwrap();
    }
    let counts = stat.overview().unwrap().region_counts;
    assert_eq!((counts.abandoned, counts.adopted), (1, 1));
    stat.region_state(session, uuid(61), RegionState::Kept, 72, 6).unwrap();
    assert_eq!(stat.overview().unwrap().region_counts.kept, 1);
}

#[test]
fn region_position_never_shrinks() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    stat.register_region(session, &ring(60, 1), 2).unwrap();
    for (noted, kept) in [(64, 64), (32, 64), (128, 128)] {
        stat.region_state(session, uuid(60), RegionState::Open, noted, 3)
            .unwrap();
        assert_eq!(stat.unfinished_regions("web").unwrap()[0].position, kept);
    }
}

#[test]
fn ring_that_was_never_registered_is_unknown() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    let state = stat.region_state(session, uuid(60), RegionState::Ended, 8, 2);
    assert!(matches!(state, Err(Error::Unknown { .. })), "{state:?}");
}
