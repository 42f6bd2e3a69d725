//! A host of its own, made of a network namespace and a cable (a pair of virtual interfaces) that can be pulled: for what
//! happens when a machine is cut off. Needs Linux, `ip` and the right to make namespaces.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use crate::parts;

/// A namespace with one cable to this host. Dropping it takes both away.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// The near end of the cable.
    interface: String,
    /// This host's address on the cable.
    pub near: Ipv4Addr,
    /// The other host's.
    pub far: Ipv4Addr,
}

impl Host {
    /// Makes one, or says why that is not possible here and returns `None`: few machines let everybody make namespaces, so
    /// that this is no fault of theirs, in CI either.
    pub fn make() -> Option<Host> {
        // Networks for measurements between machines (RFC 2544), which no real one uses; a random one of 4096 of them.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + fastrand::u32(..0x1000) * 4;
        let network = |host: u32| Ipv4Addr::from(base + host);
        let mark = format!("{:x}", fastrand::u32(..));
        let host = Host {
            name: format!("turno-{mark}"),
            interface: format!("tu{mark}"),
            near: network(1),
            far: network(2),
        };
        match host.connect() {
            Ok(()) => Some(host),
            Err(error) => {
                let test = thread::current().name().unwrap_or("a test").to_owned();
                let why =
                    format!("cannot make a network namespace (root and `ip` are needed): {error}");
                parts::say(&format!("SKIPPED {test}: {why}"));
                None
            }
        }
    }

    fn connect(&self) -> io::Result<()> {
        let peer = format!("{}p", self.interface);
        ip(&["netns", "add", &self.name])?;
        ip(&[
            "link",
            "add",
            &self.interface,
            "type",
            "veth",
            "peer",
            "name",
            &peer,
        ])?;
        ip(&["link", "set", &peer, "netns", &self.name])?;
        ip(&[
            "addr",
            "add",
            &format!("{}/30", self.near),
            "dev",
            &self.interface,
        ])?;
        ip(&["link", "set", &self.interface, "up"])?;
        let inside = ["-n", self.name.as_str()];
        let far = format!("{}/30", self.far);
        for command in [
            &["addr", "add", far.as_str(), "dev", peer.as_str()][..],
            &["link", "set", peer.as_str(), "up"],
            &["link", "set", "lo", "up"],
        ] {
            ip(&[&inside[..], command].concat())?;
        }
        Ok(())
    }

    /// Pulls the cable, or puts it back.
    ///
    /// # Panics
    /// If the system does not do it.
    pub fn cable(&self, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        ip(&["link", "set", &self.interface, state]).expect("the interface is ours");
    }

    /// A command that runs on that host.
    pub fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside
            .args(["netns", "exec", &self.name])
            .arg(command.get_program());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Makes a server of this host reachable from that one. Returns where. It lives as long as the test's process.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn reach(&self, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((self.near, 0)).expect("the address is ours");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || relay(&stream, server));
            }
        });
        address
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.interface]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// Copies in both directions until either side ends.
fn relay(client: &TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    thread::scope(|scope| {
        for (mut from, mut to) in [(client, &server), (&server, client)] {
            scope.spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    });
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("ip")
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "ip {}: {}",
        arguments.join(" "),
        said.trim()
    )))
}
