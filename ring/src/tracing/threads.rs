//! The writers of threads: each thread has one for each layer, from its first event to its end.
//!
//! A thread's end drops them, which closes their rings and tells the drainer. They hold the layer weakly, so that a ring
//! does not outlive its layer by more than a thread's next new one.

use super::Shared;
use super::fields::EventFields;
use super::statements::{Known, enter, find};
use crate::error::Error;
use crate::payload::Packed;
use crate::writer::Writer;
use std::cell::RefCell;
use std::sync::{Arc, Weak};
use thiserror::Error as ErrorOf;
use tracing_core::Metadata;

/// What a thread has of a layer.
struct Log {
    layer: Weak<Shared>,
    writer: Writer,
    known: Known,
}

thread_local! {
    static LOGS: RefCell<Vec<Log>> = const { RefCell::new(Vec::new()) };
}

/// Why an event was not logged.
#[derive(Debug, ErrorOf)]
pub(super) enum NotLogged {
    /// It was caused by logging another one, or stands too deep in what formatting others caused.
    #[error("it happened while another event was logged")]
    Within,
    /// The ring.
    #[error("log an event")]
    Ring(#[from] Error),
}

/// Logs an event of this thread.
pub(super) fn log(
    shared: &Arc<Shared>,
    metadata: &'static Metadata<'static>,
    fields: &EventFields,
) -> Result<(), NotLogged> {
    let logged = LOGS.try_with(|logs| {
        let mut logs = logs.try_borrow_mut().map_err(|_| NotLogged::Within)?;
        let place = logs
            .iter()
            .position(|log| std::ptr::eq(log.layer.as_ptr(), Arc::as_ptr(shared)));
        let place = match place {
            Some(place) => place,
            None => {
                logs.retain(|log| log.layer.strong_count() > 0);
                logs.push(Log::open(shared)?);
                logs.len() - 1
            }
        };
        Ok(logs[place].log(shared, metadata, fields)?)
    });
    match logged {
        Ok(logged) => logged,
        // The thread is at its end, and its writers are gone: this event gets one for itself.
        Err(_) => Ok(Log::open(shared)?.log(shared, metadata, fields)?),
    }
}

impl Log {
    fn open(shared: &Arc<Shared>) -> Result<Log, Error> {
        Ok(Log {
            layer: Arc::downgrade(shared),
            writer: shared.group.writer()?,
            known: Known::new(),
        })
    }

    fn log(
        &mut self,
        shared: &Shared,
        metadata: &'static Metadata<'static>,
        fields: &EventFields,
    ) -> Result<(), Error> {
        let callsite = metadata.callsite();
        let statement = match find(&self.known, &callsite, &fields.shape) {
            Some(statement) => statement,
            None => {
                let statement = shared.statements.of(metadata, &fields.shape)?;
                enter(&mut self.known, callsite, &fields.shape, &statement);
                statement
            }
        };
        match self.writer.log_payload(&statement, &Packed(&fields.bytes)) {
            // The ring has had all the definitions that it can, or is not read any more: the thread goes on in another.
            Err(error @ (Error::NoStatementIds | Error::Condemned { .. } | Error::WildHead { .. })) => {
                shared.leave_ring(&error);
                self.writer = shared.group.writer()?;
                self.writer.log_payload(&statement, &Packed(&fields.bytes))
            }
            logged => logged,
        }
    }
}
