//! The way to one destination: its route, and the connection that is open on it.

use super::super::network::{Arrival, End, Frames, connect};
use super::super::receiver::Receiver;
use crate::modes::batchsend::shipper::connection::{Connection, Turn};
use crate::modes::batchsend::shipper::{Ended, Route, Shipper, Welcome, understand};
use crate::os::net::{Line, put_frame};
use std::sync::Arc;

/// The way to one destination.
pub(super) struct Lane {
    pub(super) route: Route,
    pub(super) open: Option<Open>,
}

pub(super) struct Open {
    pub(super) end: End,
    pub(super) frames: Frames,
    pub(super) shipper: Arc<Shipper>,
    pub(super) state: Shipping,
}

pub(super) enum Shipping {
    Greeting(Welcome),
    Welcomed(Box<Connection<Arc<Shipper>>>),
}

impl Lane {
    pub(super) fn connect(&mut self, receiver: &mut Receiver) {
        let Some(leg) = self.route.next_leg() else { return };
        let (ours, theirs) = connect();
        if !receiver.accept(theirs) {
            return; // refused
        }
        let hello = leg.next_hello().encode();
        let mut bytes = Vec::new();
        let header = crate::formats::frame::FrameHeader::plain(crate::formats::frame::Kind::Hello, &hello);
        put_frame(&mut bytes, &header, &hello);
        if ours.send(&bytes).is_err() {
            return;
        }
        self.open = Some(Open {
            end: ours,
            frames: Frames::default(),
            shipper: Arc::clone(leg),
            state: Shipping::Greeting(Welcome::default()),
        });
    }

    pub(super) fn hang_up(&mut self) {
        if let Some(open) = self.open.take() {
            open.end.hang_up();
        }
    }
}

impl Open {
    /// Says whether the connection goes on.
    pub(super) fn turn(&mut self) -> Result<bool, Ended> {
        let Shipping::Welcomed(connection) = &mut self.state else {
            return Ok(true);
        };
        Ok(connection.turn()? != Turn::Done)
    }

    /// Says whether the connection goes on.
    pub(super) fn hear(&mut self, most: usize) -> Result<bool, Ended> {
        let bytes = match self.end.carry(most) {
            Arrival::HungUp => return Ok(false),
            Arrival::Bytes(bytes) => bytes,
        };
        self.frames.push(&bytes);
        while let Some((header, body)) = self.frames.next_frame() {
            match &mut self.state {
                Shipping::Greeting(welcome) => {
                    if let Some(ship) = welcome.take(&header, &body)? {
                        let line = Box::new(self.end.clone());
                        let mut connection = Connection::new(Arc::clone(&self.shipper), line, ship)?;
                        connection.begin();
                        self.state = Shipping::Welcomed(Box::new(connection));
                    }
                }
                Shipping::Welcomed(connection) => connection.hear(understand(&header, &body)?)?,
            }
        }
        Ok(true)
    }
}

/// What is wrong when a connection ends so; `None` for what happens.
pub(super) fn words_of(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Refused(refuse) if refuse.code.is_final() => Some(format!("refused for good: {}", refuse.words)),
        Ended::Protocol(words) => Some(words.clone()),
        _ => None,
    }
}
