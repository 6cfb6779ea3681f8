//! An engine with a bad line: requests or answers of one kind get lost on the way, the first time that they are made.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The engine never hears of it.
    Request,
    /// It is done, and we do not hear of that.
    Answer,
}

/// Passes everything on to the engine's socket except, once, a request whose first line contains `what`. Its address.
pub(crate) fn line(socket: &str, what: &'static str, lost: Lost) -> String {
    let socket = socket.trim_start_matches("unix://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let armed = Arc::new(AtomicBool::new(true));
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let (socket, armed) = (socket.clone(), Arc::clone(&armed));
            thread::spawn(move || connection(from, &socket, what, lost, &armed));
        }
    });
    address
}

fn connection(mut from: TcpStream, socket: &str, what: &str, lost: Lost, armed: &AtomicBool) {
    let mut head = [0; 4 << 10];
    let Ok(count @ 1..) = from.read(&mut head) else { return };
    let first = String::from_utf8_lossy(&head[..count]);
    let is_it = first.lines().next().is_some_and(|line| line.contains(what));
    let hit = is_it && armed.swap(false, Ordering::SeqCst);
    if hit && lost == Lost::Request {
        return;
    }
    let Ok(mut to) = UnixStream::connect(socket) else { return };
    if to.write_all(&head[..count]).is_err() {
        return;
    }
    let (Ok(mut request), Ok(mut engine)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        pass(&mut request, &mut engine);
        _ = engine.shutdown(std::net::Shutdown::Write);
    });
    if hit {
        // The engine has answered: it is done.
        _ = to.read(&mut [0; 1]);
        _ = from.shutdown(std::net::Shutdown::Both);
        return;
    }
    pass(&mut to, &mut from);
    _ = from.shutdown(std::net::Shutdown::Write);
}

fn pass(source: &mut impl Read, sink: &mut impl Write) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = source.read(&mut buffer) {
        if sink.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
