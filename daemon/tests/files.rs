//! The HTTP listener when the process has no file descriptor left. It is the only test of its program,
//! because the limit it sets holds for the whole process.

use std::{fs::File, io, net::SocketAddr, time::Duration};

use daemon::http::{Limits, serve, text};
use http::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Beyond this the test has failed rather than been slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files the process may open: room for a runtime and some connections.
const FILES: u64 = 64;

async fn send(stream: &mut TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
        .await
        .expect("the server reads");
}

async fn is_answered(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"served") {
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return false;
        }
    }
    true
}

/// Opens files until the process may open no more.
fn exhaust() -> Vec<File> {
    let open = |_| File::open("/dev/null").ok();
    let files: Vec<File> = (0..FILES).map_while(open).collect();
    assert!(File::open("/dev/null").is_err(), "the limit does not hold");
    files
}

#[tokio::test]
async fn running_out_of_files_delays_clients_and_loses_none() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(FILES),
            ..limits
        },
    )
    .expect("it may be lowered");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("a literal");
    let listener = daemon::net::listen(any).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let shutdown = CancellationToken::new();
    let handler = |_, _| async { text(StatusCode::OK, "served") };
    let server = tokio::spawn(serve(
        listener,
        Limits::default(),
        handler,
        shutdown.clone(),
    ));

    let mut early = TcpStream::connect(address).await.expect("it listens");
    send(&mut early).await;
    assert!(is_answered(&mut early).await);

    let mut files = exhaust();
    // One left, for the client's own end: the server's accept must fail.
    files.pop();
    let mut late = TcpStream::connect(address)
        .await
        .expect("the kernel's queue has room");
    send(&mut late).await;
    for _ in 0..10 {
        send(&mut early).await;
        assert!(
            is_answered(&mut early).await,
            "those who are in are served on"
        );
    }
    let nothing = late.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(
        nothing,
        Err(io::ErrorKind::WouldBlock),
        "accepted with no file left"
    );

    drop(files);
    assert!(is_answered(&mut late).await, "it was lost");
    shutdown.cancel();
    timeout(PATIENCE, server)
        .await
        .expect("it ends")
        .expect("no panic");
}
