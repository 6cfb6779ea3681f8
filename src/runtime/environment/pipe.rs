//! Between the engine's asynchronous streams and readers and writers that block. Each side ends when the other is gone,
//! and reading ends at a deadline: a thread that waits for ever would keep the program alive.

use futures_util::{Stream, StreamExt as _};
use std::{
    io::{self, Read, Write},
    pin::Pin,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, timeout_at},
};

/// Pieces on their way at once: enough that both sides work, few enough that memory stays small.
const PIECES: usize = 4;
/// An engine on the same machine that is silent for this long in the middle of an archive has failed.
const STALL: Duration = Duration::from_mins(1);

/// Pieces of bytes, or why there are no more.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Vec<u8>>> + Send>>;

/// Reads a stream; only on a thread that may block.
pub(super) struct Source {
    pieces: Pieces,
    handle: Handle,
    deadline: Instant,
    current: io::Cursor<Vec<u8>>,
}

impl Source {
    /// Ends at `deadline`. Made inside of the asynchronous runtime.
    pub(super) fn new(pieces: Pieces, deadline: Instant) -> Self {
        Self { pieces, handle: Handle::current(), deadline, current: io::Cursor::default() }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.current.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            let until = self.deadline.min(Instant::now() + STALL);
            let pieces = &mut self.pieces;
            match self.handle.block_on(async { timeout_at(until, pieces.next()).await }) {
                Ok(Some(piece)) => self.current = io::Cursor::new(piece?),
                Ok(None) => return Ok(0),
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the archive stopped coming")),
            }
        }
    }
}

/// Writes into a stream; only on a thread that may block.
pub(super) struct Sink(Sender<io::Result<Vec<u8>>>);

impl Sink {
    /// Both ends.
    pub(super) fn new() -> (Self, impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static) {
        let (sender, receiver) = channel(PIECES);
        let pieces = futures_util::stream::unfold(receiver, async |mut receiver: Receiver<_>| {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        (Self(sender), pieces)
    }

    /// The stream ends as broken: whoever reads must not take it for complete.
    pub(super) fn break_off(&self) {
        // Nobody who listens any more has to be told.
        _ = self.0.blocking_send(Err(io::Error::other("broken off")));
    }
}

impl Write for &Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(bytes.to_vec()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads any more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
