//! Log lines on their way out: a thread of their own writes them, because a full pipe that nobody reads would otherwise
//! hold up whoever says something, and with it runs.
//!
//! Nothing is lost while somebody reads, however slowly. When nobody has read for [`PATIENCE`], lines are thrown away and
//! counted until there is room again.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that wait at most; a tick over a thousand runs says about two thousand.
const WAITING: usize = 4_096;
/// How long one line waits for room, and the end of the program for the last one: a reader that needs longer for a screen
/// of text reads no more.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often room is looked for meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

enum Message {
    Line(Vec<u8>),
    Flush(std::sync::mpsc::Sender<()>),
}

/// Where lines go.
#[derive(Clone)]
pub(super) struct Sink {
    to: SyncSender<Message>,
    is_stuck: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Sink {
    /// A sink that ends in `writer`.
    pub(super) fn new(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (to, from) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        thread::Builder::new().name("log".into()).spawn(move || drain(&from, writer, &counted))?;
        Ok(Self { to, is_stuck: Arc::default(), lost })
    }

    fn say(&self, line: Vec<u8>) {
        if !self.offer(Message::Line(line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it was taken. Waits for room, but once only for a reader that is gone.
    fn offer(&self, message: Message) -> bool {
        let mut message = message;
        let tries =
            if self.is_stuck.load(Ordering::Relaxed) { 1 } else { PATIENCE.as_millis() / PAUSE.as_millis() };
        for _ in 0..tries {
            match self.to.try_send(message) {
                Ok(()) => {
                    self.is_stuck.store(false, Ordering::Relaxed);
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => message = back,
            }
            if tries > 1 {
                thread::sleep(PAUSE);
            }
        }
        self.is_stuck.store(true, Ordering::Relaxed);
        false
    }

    /// Waits until everything is written, but not for ever.
    pub(super) fn flush(&self) {
        let (done, wait) = channel();
        if self.offer(Message::Flush(done)) {
            let _ = wait.recv_timeout(PATIENCE);
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The layer writes a whole line at once.
        self.say(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn drain(from: &Receiver<Message>, mut writer: impl Write, lost: &AtomicU64) {
    while let Ok(message) = from.recv() {
        match message {
            Message::Line(line) => {
                // A reader that went away is not our problem.
                let _ = writer.write_all(&line);
            }
            Message::Flush(done) => {
                let count = lost.swap(0, Ordering::Relaxed);
                if count > 0 {
                    let _ = writeln!(
                        writer,
                        "{{\"level\":\"WARN\",\"message\":\"{count} lines of the log were lost: nobody read it\"}}"
                    );
                }
                let _ = writer.flush();
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Mutex, time::Instant};

    /// Blocks each write until it is allowed.
    struct Pipe(Arc<Mutex<Vec<u8>>>, std::sync::mpsc::Receiver<()>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.recv();
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_costs_a_moment_and_not_more() {
        let (open, shut) = channel();
        let page = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink::new(Pipe(page.clone(), shut)).unwrap();
        let began = Instant::now();
        for _ in 0..3 * WAITING {
            sink.say(b"x\n".to_vec());
        }
        sink.flush();
        assert!(began.elapsed() < 5 * PATIENCE, "{:?}", began.elapsed());
        // Somebody reads again: what waited is written, and what was lost is counted.
        drop(open);
        for _ in 0..100 {
            sink.flush();
            if page.lock().unwrap().ends_with(b"nobody read it\"}\n") {
                break;
            }
            thread::sleep(PAUSE);
        }
        let text = String::from_utf8(page.lock().unwrap().clone()).unwrap();
        let written = text.lines().filter(|line| *line == "x").count();
        assert!(written > WAITING && written < 3 * WAITING, "{written}");
        assert!(text.contains(&format!("{} lines of the log were lost", 3 * WAITING - written)), "{text}");
    }

    #[test]
    fn nothing_is_lost_while_somebody_reads() {
        let page = Arc::new(Mutex::new(Vec::new()));
        let (open, shut) = channel();
        drop(open);
        let sink = Sink::new(Pipe(page.clone(), shut)).unwrap();
        for _ in 0..3 * WAITING {
            sink.say(b"x\n".to_vec());
        }
        sink.flush();
        assert_eq!(page.lock().unwrap().len(), 2 * 3 * WAITING);
    }
}
