//! Two destinations of one spool: what the second one costs, and what a shipper that panics again and again costs the other.
//!
//! Each is held against one destination alone, in the same round and on the same lines. Both receivers run on this machine, beside all the rest, so what
//! the second one takes for itself, decompressing and writing, is in the figure as well.

use super::roles::hog;
use super::scene::Scene;
use super::shipment::{Second, Way, bare, check_that_it_arrived, ship};
use super::table::{BARE, Sample};
use super::{Outcome, Run};
use std::path::PathBuf;

/// Two destinations against one, in us for a MB of lines.
pub(crate) fn two_destinations(run: &Run) -> Outcome<Sample> {
    let megabytes = std::fs::metadata(&run.input)?.len() as f64 / 1e6;
    let alone = once(run, &Way::default())?;
    let both = once(
        run,
        &Way {
            second: Second::Served,
            ..Way::default()
        },
    )?;
    let bare_one = bare(&run.input, true, 1)?.synced.as_secs_f64();
    let bare_two = bare(&run.input, true, 2)?.synced.as_secs_f64();
    Ok(Sample {
        hog: both * 1e6 / megabytes,
        limit: Some(alone * 1e6 / megabytes),
        besides: vec![
            (BARE, bare_two * 1e6 / megabytes),
            ("bare_one_us_per_mb", bare_one * 1e6 / megabytes),
            ("bare_ratio", bare_two / bare_one),
        ],
    })
}

fn once(run: &Run, way: &Way) -> Outcome<f64> {
    let scene = Scene::set()?;
    scene.settle()?;
    let shipped = ship(&scene, &run.input, way)?;
    check_that_it_arrived(&scene, "archive", &run.input)?;
    if way.second == Second::Served {
        check_that_it_arrived(&scene, "archive-2", &run.input)?;
    }
    Ok(shipped.synced.as_secs_f64())
}

/// What one destination gets, in MB/s, while the shipper to the other one panics whenever it is about to send. That takes a program that can be
/// provoked; against itself with one destination alone.
pub(crate) fn beside_one_that_panics(run: &Run) -> Outcome<Sample> {
    let megabytes = std::fs::metadata(&run.input)?.len() as f64 / 1e6;
    let program = provocable()?;
    let way = Way {
        program: Some(program),
        arguments: vec!["--max-restarts", "1000/1s"],
        ..Way::default()
    };
    let alone = once(run, &way)?;
    let scene = Scene::set()?;
    scene.settle()?;
    let way = Way {
        second: Second::Panics,
        ..way
    };
    let shipped = ship(&scene, &run.input, &way)?;
    check_that_it_arrived(&scene, "archive", &run.input)?;
    let faults = hog(&["faults", "-m"]).arg(scene.path("send")).output()?;
    if !String::from_utf8_lossy(&faults.stdout).contains("on purpose") {
        return Err("the other shipper did not panic".into());
    }
    Ok(Sample {
        hog: megabytes / shipped.synced.as_secs_f64(),
        limit: Some(megabytes / alone),
        besides: vec![],
    })
}

/// The program with its mutants, which can be provoked: another one than that under measurement, which `just bench` builds as well.
fn provocable() -> Outcome<PathBuf> {
    if cfg!(feature = "mutants") {
        return Ok(hog(&[]).get_program().into());
    }
    let path = std::env::var_os("HOG_WITH_MUTANTS")
        .ok_or("HOG_WITH_MUTANTS names no program that was built with `--features mutants`; `just bench` makes one")?;
    Ok(path.into())
}
