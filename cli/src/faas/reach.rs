//! How others reach a part: its address, and its presence in the registry while it runs.

use std::net::{SocketAddr, ToSocketAddrs};

use tokio_util::sync::CancellationToken;

use super::SystemArgs;
use crate::{args::Global, connect, failure::Failure, mq::presence::MqPresence, output};

/// Where others reach a socket that listens on `bound`; `None` if that is no TCP address.
pub(super) async fn reached(
    bound: &str,
    system: &SystemArgs,
    global: &Global,
) -> Result<Option<SocketAddr>, Failure> {
    let address = bound.strip_prefix("tcp://");
    let Some(listens) = address.and_then(|it| it.to_socket_addrs().ok()?.next()) else {
        return Ok(None);
    };
    Ok(Some(match system.advertise {
        Some(ip) => SocketAddr::new(ip, listens.port()),
        None if system.no_register => connect::reachable(listens),
        None => connect::advertised(listens, &connect::client(global)?).await,
    }))
}

/// The port in an address, for the meta of an instance.
pub(crate) fn port(bound: &str) -> String {
    bound.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Registers, runs the part, and deregisters before it is stopped.
pub(crate) async fn registered<F>(
    service: &str,
    bound: &str,
    meta: &[(&str, String)],
    (system, global): (&SystemArgs, &Global),
    run: impl FnOnce(CancellationToken) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let shutdown = daemon::shutdown::on_signal();
    let stop = CancellationToken::new();
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    // It listens; that others find it by name may take a registry longer.
    output::ready()?;
    let presence = if system.no_register {
        None
    } else {
        tokio::select! {
            address = reached(bound, system, global) => {
                MqPresence::start(service, bound, address?, (meta, &[]), global).await?
            }
            () = shutdown.cancelled() => return Ok(()),
        }
    };
    let leave = async {
        shutdown.cancelled().await;
        if let Some(presence) = presence {
            presence.leave().await;
        }
        stop.cancel();
        Ok::<(), Failure>(())
    };
    tokio::try_join!(run(stop.clone()), leave)?;
    Ok(())
}
