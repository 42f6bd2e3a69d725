//! What a service of systemd owes its manager: when it is ready, reloads and stops, that it still lives, and taking over a
//! socket that the manager holds.
//!
//! Plain datagrams to `NOTIFY_SOCKET`, as sd_notify(3) describes them; without that variable nothing happens, so every
//! long-running command may say these things. It does not know what is served.

mod inherit;
mod watchdog;

use std::{
    ffi::OsStr,
    fmt, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use tracing::warn;

pub use self::{
    inherit::{InheritError, inherited},
    watchdog::{Pulse, watchdog},
};

/// Where the manager listens for us. A child that we start must not inherit it.
pub const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// The manager's queue may be full for a moment at boot. Longer than this, and the manager itself is stuck.
const SEND_LIMIT: Duration = Duration::from_secs(1);

/// Something to tell the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// It serves. Also the end of a reload.
    Ready,
    /// It has begun to read its configuration again; [`State::Ready`] has to follow.
    Reloading,
    /// It has begun to stop.
    Stopping,
    /// It still lives.
    Watchdog,
    /// One line for people, shown by `systemctl status`.
    Status(&'a str),
}

impl fmt::Display for State<'_> {
    /// The assignments of sd_notify(3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("READY=1"),
            Self::Reloading => {
                // Says which reload this is; `Type=notify-reload` refuses to wait for one that began before it asked.
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
                write!(f, "RELOADING=1\nMONOTONIC_USEC={micros}")
            }
            Self::Stopping => f.write_str("STOPPING=1"),
            Self::Watchdog => f.write_str("WATCHDOG=1"),
            // A line end would begin another assignment.
            Self::Status(text) => write!(f, "STATUS={}", text.replace('\n', " ")),
        }
    }
}

/// Tells the manager, if there is one. That it cannot be told is logged, and no reason to stop.
pub fn notify(state: State<'_>) {
    let Some(socket) = std::env::var_os(SOCKET_VARIABLE).filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, &state.to_string()) {
        warn!(%error, ?state, "systemd cannot be told (NOTIFY_SOCKET={})", socket.display());
    }
}

fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither an absolute path nor an abstract name (@…)",
            ));
        }
    };
    let datagram = UnixDatagram::unbound()?;
    datagram.set_write_timeout(Some(SEND_LIMIT))?;
    datagram.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_systemd_reads_them() {
        for (state, want) in [
            (State::Ready, "READY=1"),
            (State::Stopping, "STOPPING=1"),
            (State::Watchdog, "WATCHDOG=1"),
            (State::Status("a\nREADY=1"), "STATUS=a READY=1"),
        ] {
            assert_eq!(state.to_string(), want);
        }
        let reloading = State::Reloading.to_string();
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(
            micros.is_some_and(|micros| micros.parse::<u64>().is_ok()),
            "{reloading}"
        );
    }

    #[test]
    fn a_datagram_reaches_a_path_and_an_abstract_name() {
        let folder = std::env::temp_dir().join(format!("turno-notify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("socket");
        let name = format!("@turno-notify-{}", std::process::id());
        let abstract_name =
            SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("a short name");
        for (socket, receiver) in [
            (path.as_os_str(), UnixDatagram::bind(&path)),
            (OsStr::new(&name), UnixDatagram::bind_addr(&abstract_name)),
        ] {
            let receiver = receiver.expect("a free name");
            send(socket, "READY=1").expect("somebody listens");
            let mut buffer = [0; 64];
            let length = receiver.recv(&mut buffer).expect("it is there already");
            assert_eq!(&buffer[..length], b"READY=1", "{}", socket.display());
        }
        std::fs::remove_dir_all(&folder).expect("it was there");
        assert!(send(OsStr::new("relative"), "READY=1").is_err());
        assert!(send(path.as_os_str(), "READY=1").is_err(), "nobody listens");
    }
}
