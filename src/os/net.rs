//! The one door to the net: listening, connecting, and frames over a socket.
//!
//! Every wait is bounded: connecting by [`HANDSHAKE_MAX`], reading by a deadline that the caller gives, writing by
//! a [`Patience`] as well. What is assumed of the peer: nothing.

mod incoming;

pub use incoming::{Incoming, Patience};

use crate::formats::frame::{FrameError, FrameHeader, HEADER_LEN};
use crate::ids::SegmentId;
use crate::limits::{HANDSHAKE_MAX, SILENCE_MAX};
use incoming::{BUFFER_BYTES_FIRST, READ_BYTES, Wait};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;
use thiserror::Error;

/// The salt of frames on the wire.
pub const WIRE_SALT: SegmentId = SegmentId::NIL;

/// How often a blocked read or write looks at its deadline and at `stop`.
const LOOK: Duration = Duration::from_millis(200);

/// Connections that the kernel keeps until they are accepted: when a receiver comes back, all its senders come at once, and one that the kernel drops tries again
/// after a second. The kernel has a bound of its own (`net.core.somaxconn`).
const LISTEN_BACKLOG: i32 = 1024;

/// Why a connection is of no use any more.
#[derive(Debug, Error)]
pub enum NetError {
    /// The peer closed it between two frames.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed it within a frame.
    #[error("the peer closed the connection within a frame")]
    Torn,
    /// Nothing came, or was taken, in time.
    #[error("the peer was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// It sends or takes, but too slowly.
    #[error("the peer took more than {} s for one frame", .0.as_secs())]
    Slow(Duration),
    /// Its body is longer than any that may come here.
    #[error("a frame of {found} bytes came where none is longer than {most}")]
    Long {
        /// The length.
        found: usize,
        /// The longest.
        most: usize,
    },
    /// This process is ending.
    #[error("stopped")]
    Stopped,
    /// What came is no frame.
    #[error("the peer does not speak hog's protocol: {0}")]
    Frame(#[from] FrameError),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Listens on `address` (`ADDR:PORT`), also right after a predecessor was killed.
///
/// # Errors
/// When the address does not resolve or is in use.
pub fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the address names no host");
    for address in address.to_socket_addrs()? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?; // rebinds while connections of the killed one linger in TIME_WAIT
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Connects to the first address of `destination` (`HOST:PORT`) that answers.
///
/// # Errors
/// When it does not resolve, or none answers.
pub fn connect(destination: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in destination.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, HANDSHAKE_MAX) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Sets what every connection of ours has: no delay, keepalive, bounded writes, reads that look up now and then.
///
/// # Errors
/// When the socket is gone already.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE_MAX)
        .with_interval(Duration::from_secs(5));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Has the end of this connection, whoever brings it about and be it by a kill, told the peer as a failure of it, and not as an end in order: whoever waits for
/// an answer then hears of it at once.
///
/// # Errors
/// When the socket is gone already.
pub fn end_by_reset(stream: &TcpStream, is_wanted: bool) -> io::Result<()> {
    SockRef::from(stream).set_linger(is_wanted.then_some(Duration::ZERO))
}

/// How many bytes were sent that the peer's kernel has not acknowledged.
///
/// # Errors
/// When the socket cannot tell.
pub fn unacknowledged(stream: &TcpStream) -> io::Result<u32> {
    hog_ring::unacknowledged(stream)
}

/// Reads frames from a socket.
pub struct FrameReader {
    incoming: Incoming,
}

impl FrameReader {
    /// Over a prepared socket.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self::over(Incoming::new(stream))
    }

    /// Over a socket of which something may have been read already.
    #[must_use]
    pub fn over(incoming: Incoming) -> Self {
        Self { incoming }
    }

    /// The next frame: its header, and its stored body appended to `body` behind whatever is there.
    ///
    /// # Errors
    /// As [`Self::read_header`] and [`Self::read_body`].
    pub fn read(
        &mut self,
        body: &mut Vec<u8>,
        patience: Patience,
        stop: &dyn Fn() -> bool,
    ) -> Result<FrameHeader, NetError> {
        let header = self.read_header(patience, stop)?;
        self.read_body(&header, body, patience, stop)?;
        Ok(header)
    }

    /// The header of the next frame, whose body is to be read next.
    ///
    /// # Errors
    /// When the peer is silent or slow beyond `patience`, `stop` says so, the peer went away, or what came is no sound header.
    pub fn read_header(&mut self, patience: Patience, stop: &dyn Fn() -> bool) -> Result<FrameHeader, NetError> {
        let mut wait = Wait::new(patience, stop);
        if patience.body_bytes > BUFFER_BYTES_FIRST {
            self.incoming.grow();
        }
        let mut bytes = [0; HEADER_LEN];
        self.incoming.fill(&mut bytes, &mut wait, NetError::Closed)?;
        let header = FrameHeader::open(&bytes, WIRE_SALT)?;
        let (found, most) = (header.body_len as usize, patience.body_bytes);
        if found > most {
            return Err(NetError::Long { found, most });
        }
        Ok(header)
    }

    /// The stored body of the frame whose header was read last, appended to `body` behind whatever is there.
    ///
    /// # Errors
    /// When the peer is silent or slow beyond `patience`, `stop` says so, the peer went away, or the body is not the header's.
    pub fn read_body(
        &mut self,
        header: &FrameHeader,
        body: &mut Vec<u8>,
        patience: Patience,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), NetError> {
        let mut wait = Wait::new(patience, stop).begun();
        let (from, found) = (body.len(), header.body_len as usize);
        // Memory is taken as bytes come, not for what a header claims.
        while body.len() < from + found {
            let at = body.len();
            body.resize((at + READ_BYTES).min(from + found), 0);
            self.incoming.fill(&mut body[at..], &mut wait, NetError::Torn)?;
        }
        Ok(header.check_body(&body[from..])?)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The next byte from a prepared socket.
///
/// # Errors
/// When none comes for so long, `stop` says so, or the peer went away.
pub fn read_byte(mut stream: &TcpStream, silence: Duration, stop: &dyn Fn() -> bool) -> Result<u8, NetError> {
    let patience = Patience {
        silence,
        frame: silence,
        body_bytes: 0,
    };
    let wait = Wait::new(patience, stop);
    let mut byte = [0];
    loop {
        wait.check()?;
        match stream.read(&mut byte) {
            Ok(0) => return Err(NetError::Closed),
            Ok(_) => return Ok(byte[0]),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the peer hung up, or said anything that was not read. Waits for nothing.
#[must_use]
pub fn has_spoken_or_left(stream: &TcpStream) -> bool {
    use rustix::net::{RecvFlags, recv};
    let seen = recv(stream, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    !matches!(seen, Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR))
}

/// Puts the frame of `header` (whose body is `body`) at the end of `out`, sealed for the wire.
pub fn put_frame(out: &mut Vec<u8>, header: &FrameHeader, body: &[u8]) {
    out.extend_from_slice(&FrameHeader { durable: 0, ..*header }.seal(WIRE_SALT));
    out.extend_from_slice(body);
}

/// The sending end of a connection.
pub trait Line: Send + Sync {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the connection fails or takes nothing for [`SILENCE_MAX`].
    fn send(&self, bytes: &[u8]) -> io::Result<()>;

    /// Sends all of `bytes`, and then all of `rest`: what has a header need not be copied behind it.
    ///
    /// # Errors
    /// As [`Line::send`].
    fn send_both(&self, bytes: &[u8], rest: &[u8]) -> io::Result<()> {
        self.send(&[bytes, rest].concat())
    }

    /// Ends the connection, for whoever else uses it as well.
    fn hang_up(&self);
}

impl Line for TcpStream {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_both(bytes, &[])
    }

    fn send_both(&self, bytes: &[u8], rest: &[u8]) -> io::Result<()> {
        send_all(self, [bytes, rest], Patience::of_shipping(), &|| false)
    }

    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both); // it may be gone already
    }
}

/// Sends one frame.
///
/// # Errors
/// When the socket fails or takes nothing for [`SILENCE_MAX`].
pub fn send_frame(stream: &TcpStream, header: &FrameHeader, body: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    put_frame(&mut bytes, header, body);
    stream.send(&bytes)
}

/// The sending end of a connection whose owner may be asked to end while the peer takes nothing.
pub struct LineUntil<F> {
    /// The connection, prepared.
    pub stream: TcpStream,
    /// Whether it is time to end.
    pub stop: F,
}

impl<F: Fn() -> bool + Send + Sync> Line for LineUntil<F> {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_both(bytes, &[])
    }

    fn send_both(&self, bytes: &[u8], rest: &[u8]) -> io::Result<()> {
        send_all(&self.stream, [bytes, rest], Patience::of_shipping(), &self.stop)
    }

    fn hang_up(&self) {
        self.stream.hang_up();
    }
}

/// Sends all of both `parts` to a peer that takes some now and then: it has as long as it may take for a frame.
fn send_all(mut stream: &TcpStream, parts: [&[u8]; 2], patience: Patience, stop: &dyn Fn() -> bool) -> io::Result<()> {
    let mut wait = Wait::new(patience, stop).begun();
    let mut slices = parts.map(IoSlice::new);
    let mut unsent = &mut slices[..];
    IoSlice::advance_slices(&mut unsent, 0); // passes over what is empty
    while !unsent.is_empty() {
        wait.check().map_err(io::Error::other)?;
        match stream.write_vectored(unsent) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => {
                IoSlice::advance_slices(&mut unsent, sent);
                wait.something_came();
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The two parts of `HOST:PORT`.
///
/// # Errors
/// When there is no port, or no host.
pub fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("{text:?} has no port: expected HOST:PORT"))?;
    let is_bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || is_bare_v6 {
        return Err(format!("{text:?} names no host: expected HOST:PORT, or [ADDRESS]:PORT"));
    }
    let port = port
        .parse()
        .map_err(|_| format!("{port:?} is no port: expected 0 to 65535"))?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::frame::Kind;

    #[test]
    fn destinations_need_a_host_and_a_port() {
        assert_eq!(host_and_port("log.example:7000"), Ok(("log.example", 7000)));
        assert_eq!(host_and_port("[::1]:7000"), Ok(("[::1]", 7000)));
        for bad in ["log.example", ":7000", "host:port", "host:70000", "::1:7000"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_cross_a_socket_in_one_piece_or_in_many() {
        let listener = listen("127.0.0.1:0").unwrap();
        let sender = connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        prepare(&receiver).unwrap();
        let bodies = [vec![], vec![7; 10], vec![8; 1 << 20], vec![9; 300_000]];
        let sending = bodies.clone();
        let writer = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            for body in &sending {
                put_frame(&mut bytes, &FrameHeader::plain(Kind::Forget, body), body);
            }
            for piece in bytes.chunks(65_521) {
                (&sender).write_all(piece).unwrap();
            }
        });
        let mut reader = FrameReader::new(receiver);
        for body in &bodies {
            let mut read = vec![1];
            reader.read(&mut read, Patience::of_shipping(), &|| false).unwrap();
            assert_eq!(&read[1..], body);
        }
        writer.join().unwrap();
        assert!(matches!(
            reader.read(&mut Vec::new(), Patience::of_shipping(), &|| false),
            Err(NetError::Closed)
        ));
    }

    #[test]
    fn a_byte_is_waited_for_as_long_as_was_said() {
        let listener = listen("127.0.0.1:0").unwrap();
        let mut peer = connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        prepare(&stream).unwrap();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
        assert!(matches!(read_byte(&stream, short, &|| false), Err(NetError::Silent(_))));
        assert!(matches!(read_byte(&stream, long, &|| true), Err(NetError::Stopped)));
        assert!(!has_spoken_or_left(&stream));
        peer.write_all(&[7, 8]).unwrap();
        assert!(matches!(read_byte(&stream, long, &|| false), Ok(7)));
        assert!(has_spoken_or_left(&stream));
        assert!(matches!(read_byte(&stream, long, &|| false), Ok(8)));
        drop(peer);
        assert!(matches!(read_byte(&stream, long, &|| false), Err(NetError::Closed)));
        assert!(has_spoken_or_left(&stream));
    }

    #[test]
    fn what_is_no_frame_is_refused_at_once() {
        let listener = listen("127.0.0.1:0").unwrap();
        let mut sender = connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        prepare(&receiver).unwrap();
        sender.write_all(&[b'x'; 200]).unwrap();
        let read = FrameReader::new(receiver).read(&mut Vec::new(), Patience::of_shipping(), &|| false);
        assert!(matches!(read, Err(NetError::Frame(_))));
    }
}
