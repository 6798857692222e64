//! Spools, destinations, senders, acknowledgements.

use hogstat::{Error, NewSpool, SenderStatus};

use crate::{Store, begin, spool, texts, uuid};

#[test]
fn each_epoch_keeps_the_destinations_named_then_in_their_order() {
    let store = Store::new();
    let mut stat = store.open();
    let (first, second) = (begin(&mut stat, 1), begin(&mut stat, 2));
    spool(&mut stat, first, uuid(50), 1, &["z:1", "a:2"], 1);
    spool(&mut stat, second, uuid(50), 2, &["a:2"], 2);
    spool(&mut stat, second, uuid(51), 1, &[], 2);
    assert_eq!(stat.destinations_of(uuid(50), 1).unwrap(), Some(texts(&["z:1", "a:2"])));
    assert_eq!(stat.destinations_of(uuid(50), 2).unwrap(), Some(texts(&["a:2"])));
    assert_eq!(
        stat.destinations_of(uuid(51), 1).unwrap(),
        Some(vec![]),
        "an epoch for nobody is not an unknown one"
    );
    assert_eq!(stat.destinations_of(uuid(50), 3).unwrap(), None);
}

#[test]
fn spool_registered_twice_by_its_session_is_one_spool() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    spool(&mut stat, session, uuid(50), 1, &["a:1", "a:1"], 1);
    spool(&mut stat, session, uuid(50), 1, &["a:1", "b:2"], 2);
    assert_eq!(stat.destinations_of(uuid(50), 1).unwrap(), Some(texts(&["a:1", "b:2"])));
    let states: i64 = store
        .shell()
        .query_row("SELECT count(*) FROM SenderState", [], |row| row.get(0))
        .unwrap();
    assert_eq!(states, 2, "one Started for each destination");
}

#[test]
fn epoch_that_another_session_had_is_refused_and_stays_that_session_s() {
    let store = Store::new();
    let mut stat = store.open();
    let (owner, copy) = (begin(&mut stat, 1), begin(&mut stat, 2));
    spool(&mut stat, owner, uuid(50), 1, &["a:1"], 1);
    let destinations = texts(&["b:2"]);
    let again = NewSpool {
        group: "web",
        directory: "/copy",
        sender: uuid(50),
        epoch: 1,
        destinations: &destinations,
    };
    assert!(matches!(
        stat.register_spool(copy, &again, 2),
        Err(Error::EpochTaken { epoch: 1, .. })
    ));
    assert_eq!(stat.destinations_of(uuid(50), 1).unwrap(), Some(texts(&["a:1"])));
}

#[test]
fn acknowledged_positions_never_shrink() {
    let store = Store::new();
    let mut stat = store.open();
    let (sender, x, y) = (uuid(50), uuid(60), uuid(61));
    stat.note_acknowledged(sender, "a:1", &[(x, 64), (y, 8)], 1).unwrap();
    stat.note_acknowledged(sender, "a:1", &[(x, 32), (y, 16)], 2).unwrap();
    stat.note_acknowledged(sender, "b:2", &[(x, 24)], 3).unwrap();
    assert_eq!(stat.acknowledged(sender, "a:1").unwrap(), [(x, 64), (y, 16)].into());
    assert_eq!(stat.acknowledged(sender, "b:2").unwrap(), [(x, 24)].into());
    assert!(stat.acknowledged(uuid(51), "a:1").unwrap().is_empty());
}

#[test]
fn forgotten_streams_leave_the_others_acknowledged() {
    let store = Store::new();
    let mut stat = store.open();
    let (sender, x, y) = (uuid(50), uuid(60), uuid(61));
    for address in ["a:1", "b:2"] {
        stat.note_acknowledged(sender, address, &[(x, 64), (y, 8)], 1).unwrap();
    }
    stat.forget_acknowledged(sender, "a:1", &[x, uuid(99)]).unwrap();
    assert_eq!(stat.acknowledged(sender, "a:1").unwrap(), [(y, 8)].into());
    assert_eq!(stat.acknowledged(sender, "b:2").unwrap(), [(x, 64), (y, 8)].into());
}

#[test]
fn sender_to_a_destination_of_an_earlier_session_can_be_followed() {
    let store = Store::new();
    let mut stat = store.open();
    let (earlier, now) = (begin(&mut stat, 1), begin(&mut stat, 2));
    spool(&mut stat, earlier, uuid(50), 1, &["old:1", "both:2"], 1);
    spool(&mut stat, now, uuid(50), 2, &["both:2"], 2);
    stat.sender_state(now, "web", "old:1", SenderStatus::Started, 3)
        .unwrap();
    stat.sender_state(now, "web", "old:1", SenderStatus::Closed, 4).unwrap();
    stat.sender_state(now, "web", "both:2", SenderStatus::Suspended, 5)
        .unwrap();

    let destination = &stat.overview().unwrap().spools[0].destinations[0];
    assert_eq!(
        (destination.address.as_str(), destination.status),
        ("both:2", Some((SenderStatus::Suspended, 5)))
    );
    let shell = store.shell();
    let mut query = shell
        .prepare("SELECT datetime, status FROM SenderState WHERE destination = 'old:1' AND sessionHash = 2")
        .unwrap();
    let states: Vec<(i64, String)> = query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(states, [(0, "Started".to_owned()), (0, "Closed".to_owned())]);
}

#[test]
fn sender_state_of_an_address_that_nobody_named_is_refused() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    spool(&mut stat, session, uuid(50), 1, &["a:1"], 1);
    for (group, address) in [("web", "b:2"), ("db", "a:1")] {
        let refused = stat.sender_state(session, group, address, SenderStatus::Closed, 2);
        assert!(matches!(refused, Err(Error::Unknown { .. })), "{refused:?}");
    }
}
