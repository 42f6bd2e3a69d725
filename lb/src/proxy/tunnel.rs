//! What follows a 101: bytes both ways, whatever they mean, until both sides are done.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::deadline::Deadline;
use super::io::{read, write_all};
use super::worker::Worker;

/// How long a direction of a tunnel may be silent. Long: a quiet WebSocket is no broken one; but not for ever, or peers
/// that vanished would add up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Carries bytes between client and upstream. `to_upstream` and `to_client` were read already.
pub(super) async fn run(
    worker: &Worker,
    client: &mut TcpStream,
    upstream: &mut TcpStream,
    to_upstream: Vec<u8>,
    to_client: Vec<u8>,
) {
    let (mut client_in, mut client_out) = client.split();
    let (mut upstream_in, mut upstream_out) = upstream.split();
    let mut up = pin!(one_way(
        worker,
        &mut client_in,
        &mut upstream_out,
        to_upstream
    ));
    let mut down = pin!(one_way(
        worker,
        &mut upstream_in,
        &mut client_out,
        to_client
    ));
    let (mut up_done, mut down_done) = (false, false);
    poll_fn(|cx| {
        up_done = up_done || up.as_mut().poll(cx).is_ready();
        down_done = down_done || down.as_mut().poll(cx).is_ready();
        if up_done && down_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn one_way(worker: &Worker, from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, first: Vec<u8>) {
    let mut deadline = Deadline::new(Instant::now(), SILENCE_LIMIT);
    let mut buffer = worker.take_buffer();
    let mut wrote = write_all(to, &first, &mut deadline).await.is_ok();
    while wrote {
        deadline.set(Instant::now(), SILENCE_LIMIT);
        match read(from, &mut buffer, &mut deadline).await {
            Ok(n) if n > 0 => wrote = write_all(to, &buffer[..n], &mut deadline).await.is_ok(),
            _ => break,
        }
    }
    worker.give_buffer(buffer);
    // The other direction may go on; a peer that is gone already makes this fail, which is fine.
    let _ = to.shutdown().await;
}
