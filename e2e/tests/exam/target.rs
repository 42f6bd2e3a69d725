//! What HTTP and TCP checks of the exam look at: a server on a port of its own that answers `/CODE` with that status.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Starts the server. It runs until the tests end.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Answers one request; whoever hangs up early does not want to know.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let code = line.split(['/', ' ']).nth(2)?.parse::<u16>().unwrap_or(404);
    while line.len() > 2 {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    let reason = match code {
        200 => "OK",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        204 => "Odd",
        _ => "Status",
    };
    let body = format!("this is {code}");
    let length = body.len();
    stream
        .write_all(
            format!("HTTP/1.1 {code} {reason}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .as_bytes(),
        )
        .ok()
}
