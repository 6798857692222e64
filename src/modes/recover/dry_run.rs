//! What a sender would do with what earlier runs left, group by group: the plan that it would execute, looked at from outside.

use super::facts::{Look, SpoolSeen};
use super::words;
use super::{RecoverFormat, RecoverOptions};
use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::table::Table;
use crate::modes::batchsend::older;
use crate::modes::status;
use crate::modes::store::database_failure;
use crate::seglog::recovery as log;
use crate::stages::recovery::{self, Policy, RecoveryPlan, Shipment, Step};
use hogstat::{Spool, Stat};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A group's plan as JSON, which is a documented contract.
#[derive(Serialize)]
struct Planned {
    group: String,
    bytes: u64,
    steps: Vec<PlannedStep>,
    losses: Vec<String>,
}

#[derive(Default, Serialize)]
struct PlannedStep {
    action: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
}

/// Prints the plans. Exit 4 when something cannot be recovered.
pub(super) fn run(options: &RecoverOptions, format: RecoverFormat) -> Result<ExitStatus, Failure> {
    let stat = status::open_database(&options.store)?;
    let overview = stat.overview().map_err(|error| database_failure(&error))?;
    let (mut text, mut is_all) = (String::new(), true);
    for spool in &overview.spools {
        let plan = plan_of(&stat, spool, &options.shm_dir)?;
        is_all &= plan.losses.is_empty();
        match format {
            RecoverFormat::Text => text += &in_words(&spool.group, &plan),
            RecoverFormat::Json => {
                text += &serde_json::to_string(&planned(&spool.group, &plan)).map_err(|error| Failure::of(&error))?;
                text.push('\n');
            }
        }
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(Failure::of(&error)),
        _ => {}
    }
    Ok(if is_all {
        ExitStatus::Done
    } else {
        ExitStatus::Integrity
    })
}

/// What the sender of `spool` would do if it were started again as it was.
fn plan_of(stat: &Stat, spool: &Spool, shm_dir: &Path) -> Result<RecoveryPlan, Failure> {
    let named: Vec<String> = spool.destinations.iter().map(|one| one.address.clone()).collect();
    let runs = stat
        .spool_runs(&spool.group)
        .map_err(|error| database_failure(&error))?;
    let current = (spool.sender, Path::new(&spool.directory));
    let mut directories: Vec<(Uuid, u64, &Path)> = older::others(&runs, current)
        .into_iter()
        .map(|run| (run.sender, run.epoch, Path::new(&run.directory)))
        .collect();
    directories.push((spool.sender, spool.epoch, current.1));
    let (mut looked_at, mut obstacles) = (Vec::new(), Vec::new());
    for (sender, epoch, directory) in directories {
        if directory.is_dir() {
            let index = status::backlog::index_of(stat, directory, (sender, epoch + 1), &named)?;
            looked_at.push((directory, sender, index, table_of(directory)?));
        } else {
            obstacles.push(format!("the spool in {} is not there", directory.display()));
        }
    }
    let seen: Vec<_> = looked_at
        .iter()
        .map(|(directory, sender, index, table)| SpoolSeen {
            directory: (*directory).to_owned(),
            sender: *sender,
            index,
            table,
        })
        .collect();
    let rings = hog_ring::group_dir(shm_dir, &spool.group);
    let look = Look {
        group: &spool.group,
        rings: Some(&rings),
        spools: &seen,
        obstacles: &obstacles,
        stat: Some(stat),
        is_rebuilt: false,
    };
    Ok(recovery::plan(&look.facts()?, Policy::Auto, &named))
}

/// Where the streams of the spool in `directory` stand.
fn table_of(directory: &Path) -> Result<Table, Failure> {
    let cannot = |words: String| Failure::new(ExitStatus::Failed, words);
    let segments = log::segments_in(directory).map_err(|error| cannot(chain(&error)))?;
    let standing = log::recover(&segments).map_err(|error| cannot(chain(&error)))?;
    Ok(standing.table)
}

fn in_words(group: &str, plan: &RecoveryPlan) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "group {group}: {} bytes to be shipped or drained", plan.bytes());
    for (number, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "{:4}. {}", number + 1, words::of_step(step));
    }
    for loss in &plan.losses {
        let _ = writeln!(text, "      cannot be recovered: {loss}");
    }
    text
}

fn planned(group: &str, plan: &RecoveryPlan) -> Planned {
    Planned {
        group: group.to_owned(),
        bytes: plan.bytes(),
        steps: plan.steps.iter().map(planned_step).collect(),
        losses: plan.losses.clone(),
    }
}

fn planned_step(step: &Step) -> PlannedStep {
    let of_backlog = |action, shipment: &Shipment| PlannedStep {
        action,
        bytes: shipment.bytes,
        session: Some(shipment.session),
        spool: Some(shipment.spool.clone()),
        destination: Some(shipment.destination.clone()),
        streams: Some(shipment.streams),
        ..PlannedStep::default()
    };
    match step {
        Step::Ship(shipment) => of_backlog("ship", shipment),
        Step::LeaveBacklog(shipment) => of_backlog("leave_backlog", shipment),
        Step::Region {
            region,
            action,
            from,
            bytes,
        } => PlannedStep {
            action: words::of_action(*action),
            bytes: *bytes,
            ring: Some(region.stream.to_string()),
            name: Some(region.name.clone()),
            path: Some(region.path.clone()),
            from: Some(*from),
            ..PlannedStep::default()
        },
    }
}
