//! Plans for single cases, and what holds for plans of anything.

use super::*;
use proptest::prelude::*;

fn region(stream: u128, born: u64) -> Region {
    Region {
        stream: StreamId(uuid::Uuid::from_u128(stream)),
        name: format!("ring-{stream}"),
        path: format!("/dev/shm/hog/web/ring-{stream}.ring"),
        born: (0, born),
        remembered: Some((Remembered::Open, 0)),
        ring: None,
        spooled: None,
    }
}

fn ring(owner: Owner, adoptable: bool, tail: u64) -> Option<RingFound> {
    Some(RingFound { owner, adoptable, tail })
}

fn backlog(session: i64, destination: &str, stream: u128, from: u64, to: u64) -> Backlog {
    Backlog {
        session,
        spool: "/spool/web".into(),
        destination: destination.to_owned(),
        stream: StreamId(uuid::Uuid::from_u128(stream)),
        from,
        to,
    }
}

fn seen(regions: Vec<Region>, backlog: Vec<Backlog>) -> Facts {
    Facts {
        regions,
        backlog,
        saw_all_rings: true,
        obstacles: Vec::new(),
    }
}

fn actions(plan: &RecoveryPlan) -> Vec<(String, Action)> {
    let of = |step: &Step| match step {
        Step::Region { region, action, .. } => Some((region.name.clone(), *action)),
        _ => None,
    };
    plan.steps.iter().filter_map(of).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn living_are_resumed_dead_drained_and_rings_for_heirs_kept_oldest_first() {
    let facts = seen(
        vec![
            Region {
                ring: ring(Owner::Living, true, 8),
                ..region(3, 30)
            },
            Region {
                ring: ring(Owner::Gone, true, 8),
                ..region(2, 20)
            },
            Region {
                ring: ring(Owner::Gone, false, 8),
                ..region(1, 10)
            },
            Region {
                ring: ring(Owner::Retired, true, 8),
                ..region(4, 40)
            },
        ],
        vec![],
    );
    let expected = [Action::Drain, Action::Keep, Action::Resume, Action::Drain];
    let planned = actions(&plan(&facts, Policy::Auto, &[]));
    let planned: Vec<_> = planned.iter().map(|(name, action)| (name.as_str(), *action)).collect();
    let expected: Vec<_> = ["ring-1", "ring-2", "ring-3", "ring-4"]
        .into_iter()
        .zip(expected)
        .collect();
    assert_eq!(planned, expected);
}

#[test]
fn a_ring_that_is_gone_is_lost_beyond_what_any_spool_or_note_says() {
    let gone = Region {
        remembered: Some((Remembered::Kept, 64)),
        spooled: Some(Spooled { end: 96, ended: false }),
        ..region(1, 1)
    };
    let planned = plan(&seen(vec![gone.clone()], vec![]), Policy::Require, &[]);
    assert!(matches!(
        planned.steps[..],
        [Step::Region {
            action: Action::Lose,
            from: 96,
            ..
        }]
    ));
    assert!(planned.losses[0].contains("position 96") && planned.losses[0].contains("--abandon"));
    let unsure = Facts {
        saw_all_rings: false,
        ..seen(vec![gone.clone()], vec![])
    };
    assert_eq!(
        plan(&unsure, Policy::Auto, &[]),
        RecoveryPlan::default(),
        "it may only be out of sight"
    );
    for remembered in [Remembered::Lost, Remembered::Abandoned] {
        let known = Region {
            remembered: Some((remembered, 96)),
            ..gone.clone()
        };
        assert_eq!(
            plan(&seen(vec![known], vec![]), Policy::Require, &[]),
            RecoveryPlan::default()
        );
    }
    let rebuilt = Region {
        remembered: None,
        ..gone
    };
    assert_eq!(
        plan(&seen(vec![rebuilt], vec![]), Policy::Auto, &[]).losses.len(),
        1,
        "the store was lost"
    );
}

#[test]
fn what_ended_in_a_spool_is_only_deleted_or_noted() {
    let ended = Region {
        spooled: Some(Spooled { end: 72, ended: true }),
        ..region(1, 1)
    };
    let with_ring = Region {
        ring: ring(Owner::Retired, false, 64),
        ..ended.clone()
    };
    assert_eq!(
        actions(&plan(&seen(vec![with_ring], vec![]), Policy::Auto, &[]))[0].1,
        Action::Delete
    );
    assert_eq!(
        actions(&plan(&seen(vec![ended], vec![]), Policy::Auto, &[]))[0].1,
        Action::Note
    );
}

#[test]
fn without_recovery_only_what_living_producers_logged_is_touched() {
    let facts = seen(
        vec![
            Region {
                ring: ring(Owner::Living, false, 64),
                ..region(1, 10)
            },
            Region {
                ring: ring(Owner::Gone, true, 64),
                ..region(2, 20)
            },
            region(3, 30),
        ],
        vec![
            backlog(1, "a:1", 1, 0, 16),
            backlog(1, "a:1", 2, 0, 32),
            backlog(2, "b:2", 9, 8, 16),
        ],
    );
    let planned = plan(&facts, Policy::Off, &names(&["a:1"]));
    assert_eq!(
        actions(&planned)
            .into_iter()
            .map(|(_, action)| action)
            .collect::<Vec<_>>(),
        [Action::Resume, Action::Leave]
    );
    assert_eq!(planned.left, [2, 9].map(|n| StreamId(uuid::Uuid::from_u128(n))).into());
    assert_eq!(planned.bytes(), 16 + 64);
    assert_eq!(planned.debts.len(), 1);
    let later = plan(&facts, Policy::Auto, &names(&["a:1"]));
    assert_eq!((later.left.len(), later.bytes()), (0, 16 + 32 + 8 + 64 + 64));
}

#[test]
fn debts_join_the_backlog_of_a_destination_and_the_rest_of_the_ring() {
    let facts = seen(
        vec![Region {
            ring: ring(Owner::Gone, false, 128),
            spooled: Some(Spooled { end: 96, ended: false }),
            ..region(1, 1)
        }],
        vec![backlog(1, "old:1", 1, 8, 64), backlog(2, "now:1", 1, 64, 96)],
    );
    let debts = plan(&facts, Policy::Auto, &names(&["now:1"])).debts;
    let spans: Vec<_> = debts
        .iter()
        .map(|debt| (debt.destination.as_str(), debt.from, debt.to))
        .collect();
    assert_eq!(spans, [("now:1", 64, 128), ("old:1", 8, 64)]);
}

fn any_region() -> impl Strategy<Value = Region> {
    let owner = prop_oneof![Just(Owner::Living), Just(Owner::Gone), Just(Owner::Retired)];
    let found =
        (owner, any::<bool>(), 0_u64..1000).prop_map(|(owner, adoptable, tail)| RingFound { owner, adoptable, tail });
    let remembered = prop_oneof![
        Just(Remembered::Open),
        Just(Remembered::Kept),
        Just(Remembered::Lost),
        Just(Remembered::Abandoned)
    ];
    let spooled = (0_u64..1000, any::<bool>()).prop_map(|(end, ended)| Spooled { end, ended });
    (
        (0_u64..3, 0_u64..50),
        proptest::option::of((remembered, 0_u64..1000)),
        proptest::option::of(found),
        proptest::option::of(spooled),
    )
        .prop_map(|(born, remembered, ring, spooled)| Region {
            born,
            remembered,
            ring,
            spooled,
            ..region(0, 0)
        })
}

prop_compose! {
    fn any_facts()(
        regions in proptest::collection::vec(any_region(), 0..12),
        backlog in proptest::collection::vec((0_i64..5, 0_usize..3, 0_u128..16, 0_u64..100, 0_u64..100), 0..20),
        saw_all_rings in any::<bool>(),
    ) -> Facts {
        let regions = regions.into_iter().enumerate().map(|(n, found)| {
            let known = region(n as u128, 0);
            Region { stream: known.stream, name: known.name, ..found }
        });
        let backlog = backlog.into_iter().map(|(session, to, stream, from, length)| {
            self::backlog(session, ["a:1", "b:2", "c:3"][to], stream, from, from + length)
        });
        Facts { regions: regions.collect(), backlog: backlog.collect(), saw_all_rings, obstacles: Vec::new() }
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Auto), Just(Policy::Require), Just(Policy::Off)]
}

proptest! {
    #[test]
    fn every_plan_goes_from_old_to_new_and_touches_each_thing_once(facts in any_facts(), policy in any_policy()) {
        let planned = plan(&facts, policy, &names(&["a:1"]));
        let mut born = None;
        let mut met = HashSet::new();
        let (mut sessions, mut regions_began) = ((i64::MIN, i64::MIN), false);
        for step in &planned.steps {
            match step {
                Step::Region { region, action, .. } => {
                    regions_began = true;
                    prop_assert!(born <= Some(region.born), "older regions first");
                    born = Some(region.born);
                    prop_assert!(met.insert(region.stream), "one step for each region");
                    prop_assert!(region.ring.is_some() || matches!(action, Action::Lose | Action::Note));
                    prop_assert_eq!(*action == Action::Resume, region.is_living());
                    prop_assert_eq!(*action == Action::Leave, planned.left.contains(&region.stream) && region.ring.is_some());
                }
                Step::Ship(shipment) => {
                    prop_assert!(!regions_began && sessions.0 <= shipment.session && shipment.bytes > 0);
                    sessions.0 = shipment.session;
                }
                Step::LeaveBacklog(shipment) => {
                    prop_assert!(!regions_began && sessions.1 <= shipment.session && policy == Policy::Off);
                    sessions.1 = shipment.session;
                }
            }
        }
        for ring in facts.regions.iter().filter(|region| region.ring.is_some()) {
            prop_assert!(met.contains(&ring.stream), "no ring is passed over");
        }
    }

    #[test]
    fn no_byte_of_backlog_is_forgotten_and_what_is_left_is_of_nobody_who_lives(facts in any_facts(), policy in any_policy()) {
        let planned = plan(&facts, policy, &[]);
        let all: u64 = facts.backlog.iter().map(|backlog| backlog.to - backlog.from).sum();
        let planned_bytes: u64 = planned.steps.iter().map(|step| match step {
            Step::Ship(shipment) | Step::LeaveBacklog(shipment) => shipment.bytes,
            Step::Region { .. } => 0,
        }).sum();
        prop_assert_eq!(planned_bytes, all);
        prop_assert!(policy == Policy::Off || planned.left.is_empty());
        for region in facts.regions.iter().filter(|region| region.is_living()) {
            prop_assert!(!planned.left.contains(&region.stream));
        }
        for debt in &planned.debts {
            prop_assert!(debt.from < debt.to && !planned.left.contains(&debt.stream));
        }
    }

    #[test]
    fn something_is_lost_exactly_when_a_ring_is_gone_that_nobody_finished(facts in any_facts()) {
        let is_lost = |region: &Region| {
            let finished = matches!(region.remembered, Some((Remembered::Lost | Remembered::Abandoned, _)))
                || region.spooled.is_some_and(|spooled| spooled.ended)
                || (region.remembered.is_none() && region.spooled.is_none());
            region.ring.is_none() && !finished && facts.saw_all_rings
        };
        let lost = facts.regions.iter().filter(|region| is_lost(region)).count();
        prop_assert_eq!(plan(&facts, Policy::Require, &[]).losses.len(), lost);
        prop_assert!(plan(&facts, Policy::Off, &[]).losses.is_empty());
    }
}
