//! A network that can be spoilt: it carries connections to a receiver, cuts them where it was told to, and may swallow
//! acknowledgements.

use hog::formats::frame::{HEADER_LEN, Kind};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where a connection ends: whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Behind so many bytes to the receiver.
    pub(crate) sent: u64,
    /// Behind so many bytes from the receiver.
    pub(crate) answered: u64,
    /// The sender alone sees the end; the receiver sees nothing, and a moment later gets what was still on its way.
    pub(crate) is_late: bool,
}

impl Cut {
    const NEVER: Cut = Cut {
        sent: u64::MAX,
        answered: u64::MAX,
        is_late: false,
    };
}

/// How long late bytes are on their way.
const LATE: Duration = Duration::from_millis(200);

/// Stands between a sender and a receiver, until it is dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: String,
    rules: Arc<Rules>,
    acceptor: Option<JoinHandle<()>>,
}

struct Rules {
    target: String,
    /// What becomes of the next connections; later ones are let be.
    cuts: Mutex<VecDeque<Cut>>,
    swallows: AtomicBool,
    swallowed: AtomicU64,
    rests: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Proxy {
    /// A network to `target` that carries everything.
    pub(crate) fn new(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let rules = Arc::new(Rules {
            target: target.to_owned(),
            cuts: Mutex::default(),
            swallows: AtomicBool::new(false),
            swallowed: AtomicU64::new(0),
            rests: AtomicBool::new(false),
            open: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&rules);
        let acceptor = std::thread::spawn(move || accept(&listener, &shared));
        Self {
            address,
            rules,
            acceptor: Some(acceptor),
        }
    }

    /// Cuts the connections that come next, one after the other.
    pub(crate) fn cut(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.rules.cuts.lock().unwrap().extend(cuts);
    }

    /// Cuts that are still to come.
    pub(crate) fn cuts_left(&self) -> usize {
        self.rules.cuts.lock().unwrap().len()
    }

    /// Cuts no more.
    pub(crate) fn carry_all(&self) {
        self.rules.cuts.lock().unwrap().clear();
    }

    /// Before it cuts a connection it reads nothing for a while, so that the sockets are full of what is on its way.
    pub(crate) fn rest_before_cuts(&self) {
        self.rules.rests.store(true, SeqCst);
    }

    /// Whether acknowledgements get lost from now on.
    pub(crate) fn swallow_acks(&self, swallows: bool) {
        self.rules.swallows.store(swallows, SeqCst);
    }

    /// Acknowledgements that got lost.
    pub(crate) fn swallowed(&self) -> u64 {
        self.rules.swallowed.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.rules.is_over.store(true, SeqCst);
        drop(TcpStream::connect(&self.address)); // so that it looks
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, rules: &Arc<Rules>) {
    let mut carriers = Vec::new();
    for stream in listener.incoming() {
        if rules.is_over.load(SeqCst) {
            break;
        }
        let (Ok(sender), Ok(receiver)) = (stream, TcpStream::connect(&rules.target)) else {
            continue;
        }; // the receiver is down
        let link = Arc::new(Link {
            sender,
            receiver,
            cut: rules.cuts.lock().unwrap().pop_front().unwrap_or(Cut::NEVER),
        });
        rules
            .open
            .lock()
            .unwrap()
            .extend([link.sender.try_clone().unwrap(), link.receiver.try_clone().unwrap()]);
        let (back, rules) = (Arc::clone(&link), Arc::clone(rules));
        let rests = rules.rests.load(SeqCst);
        carriers.push(std::thread::spawn(move || carry_to_receiver(&link, rests)));
        carriers.push(std::thread::spawn(move || carry_to_sender(&back, &rules)));
    }
    for stream in rules.open.lock().unwrap().drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for carrier in carriers {
        let _ = carrier.join();
    }
}

/// One connection, both halves of it.
struct Link {
    sender: TcpStream,
    receiver: TcpStream,
    cut: Cut,
}

impl Link {
    fn end(&self) {
        let _ = self.sender.shutdown(Shutdown::Both);
        let _ = self.receiver.shutdown(Shutdown::Both);
    }
}

/// Passes on what the sender says.
fn carry_to_receiver(link: &Link, rests: bool) {
    let mut left = link.cut.sent;
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = (&link.sender).read(&mut buffer) {
        let passed = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= passed as u64;
        if (&link.receiver).write_all(&buffer[..passed]).is_err() {
            break;
        }
        if left == 0 {
            if rests {
                std::thread::sleep(LATE);
            }
            if link.cut.is_late {
                let _ = link.sender.shutdown(Shutdown::Both);
                std::thread::sleep(LATE); // the sender has come back by now
                let _ = (&link.receiver).write_all(&buffer[passed..read]);
            }
            break;
        }
    }
    link.end();
}

/// Passes on what the receiver says, frame by frame.
fn carry_to_sender(link: &Link, rules: &Rules) {
    let mut left = link.cut.answered;
    let mut frame = Vec::new();
    while read_frame(&link.receiver, &mut frame).is_ok() {
        if rules.swallows.load(SeqCst) && frame[KIND_AT] == Kind::Ack as u8 {
            rules.swallowed.fetch_add(1, SeqCst);
            continue;
        }
        let passed = frame.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= passed as u64;
        if (&link.sender).write_all(&frame[..passed]).is_err() || left == 0 {
            break;
        }
    }
    if !link.cut.is_late {
        link.end();
    }
}

/// Where in a frame's header the length of its body stands, and its kind: `docs/FORMATS.md`, section 5.
const BODY_LEN_AT: usize = 8;
const KIND_AT: usize = 68;

fn read_frame(mut stream: &TcpStream, frame: &mut Vec<u8>) -> io::Result<()> {
    frame.resize(HEADER_LEN, 0);
    stream.read_exact(frame)?;
    let body = u32::from_le_bytes(frame[BODY_LEN_AT..][..4].try_into().unwrap());
    frame.resize(HEADER_LEN + body as usize, 0);
    stream.read_exact(&mut frame[HEADER_LEN..])
}
