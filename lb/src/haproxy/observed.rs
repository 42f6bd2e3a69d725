//! What HAProxy says of itself, read: its servers, and its processes.
//!
//! From the management guide of HAProxy 2.6 (§9.3 `show servers state`, `show servers conn`; §9.4.1 `show proc`), and
//! measured on 2.6.12. What cannot be read is left out: then it counts as not there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A server as HAProxy has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// `None`: it has none, or one that is no IP address.
    pub(super) address: Option<SocketAddr>,
    /// In maintenance, for whatever reason.
    pub(super) maint: bool,
    /// Draining.
    pub(super) drain: bool,
    /// 0..=256.
    pub(super) weight: u16,
    /// Connections on which a request is in flight.
    pub(super) in_use: u32,
}

impl Server {
    /// Whether it may get requests. Its own checks may still say otherwise.
    pub(super) fn is_ready(&self) -> bool {
        !self.maint && !self.drain
    }
}

/// Servers by backend and name.
pub(super) type Observed = BTreeMap<String, BTreeMap<String, Server>>;

/// The bits of `srv_admin_state`: forced, inherited, and by name resolution. `0x04` only says what the file said.
const MAINT: u32 = 0x01 | 0x02 | 0x20;

/// Forced and inherited.
const DRAIN: u32 = 0x08 | 0x10;

/// Reads the answers of any number of `show servers state` and `show servers conn`.
pub(super) fn servers(text: &str) -> Observed {
    let mut observed = Observed::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let Some((backend, name, server)) = state(&fields) {
            observed
                .entry(backend.to_owned())
                .or_default()
                .insert(name.to_owned(), server);
        }
    }
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let Some((backend, name, in_use)) = connections(&fields)
            && let Some(server) = observed.get_mut(backend).and_then(|b| b.get_mut(name))
        {
            server.in_use = in_use;
        }
    }
    observed
}

/// `be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight …`, the port as the 19th.
fn state<'a>(fields: &[&'a str]) -> Option<(&'a str, &'a str, Server)> {
    fields.first()?.parse::<u32>().ok()?;
    let admin: u32 = fields.get(6)?.parse().ok()?;
    let port: u16 = fields.get(18)?.parse().ok()?;
    let server = Server {
        address: fields[4]
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, port)),
        maint: admin & MAINT != 0,
        drain: admin & DRAIN != 0,
        weight: fields[7].parse().ok()?,
        in_use: 0,
    };
    Some((fields[1], fields[3], server))
}

/// `bkname/svname bkid/svid addr port - purge_delay used_cur …`
fn connections<'a>(fields: &[&'a str]) -> Option<(&'a str, &'a str, u32)> {
    let (backend, name) = fields.first()?.split_once('/')?;
    Some((backend, name, fields.get(6)?.parse().ok()?))
}

/// The processes behind a master socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Processes {
    /// The master's id.
    pub(super) master: u32,
    /// Reloads that failed since the last one that worked.
    pub(super) failed: u32,
    /// The worker that accepts connections; after a failed reload, the one from before.
    pub(super) worker: Option<u32>,
    /// Workers of earlier configurations, which finish what they have.
    pub(super) old: Vec<u32>,
}

/// Reads the answer of `show proc`. `None`: it is none.
pub(super) fn processes(text: &str) -> Option<Processes> {
    let mut processes = Processes::default();
    let mut is_old = false;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            is_old = heading.trim_start().starts_with("old");
            continue;
        }
        let mut fields = line.split_whitespace();
        let Some(pid) = fields.next().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        match (fields.next(), is_old) {
            (Some("master"), _) => {
                processes.master = pid;
                processes.failed = failures(line);
            }
            (Some("worker"), false) => processes.worker = Some(pid),
            (Some("worker"), true) => processes.old.push(pid),
            _ => {}
        }
    }
    (processes.master != 0).then_some(processes)
}

/// The number in `3 [failed: 1]`.
fn failures(line: &str) -> u32 {
    line.split_once("[failed:")
        .and_then(|(_, rest)| rest.split_once(']'))
        .and_then(|(number, _)| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_as_haproxy_2_6_shows_them() {
        let text = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight …\n\
            3 web 1 s1 127.0.0.1 2 8 1 1 0 8 2 2 6 0 0 0 - 18101 - 0 0 - - 0\n\
            3 web 2 s2 127.0.0.1 2 4 5 1 1 1 0 2 6 0 0 0 - 18102 - 0 0 - - 0\n\
            3 web 3 s3 ::1 0 5 1 1 2 1 0 0 14 0 0 0 - 5 - 0 0 - - 0\n\n\
            # bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est …\n\
            web/s1 3/1 127.0.0.1 18101 - 5000 7 9 9 0 8 -1 8 4 4\n\nCan't find backend.\n\n";
        let observed = servers(text);
        let web = &observed["web"];
        assert_eq!(web.len(), 3);
        assert!(web["s1"].drain && !web["s1"].maint && web["s1"].in_use == 7);
        assert!(web["s2"].is_ready(), "0x04 is only history");
        assert_eq!(web["s2"].weight, 5);
        assert_eq!(web["s2"].address, Some(([127, 0, 0, 1], 18102).into()));
        assert!(web["s3"].maint && web["s3"].address == "[::1]:5".parse().ok());
    }

    #[test]
    fn nonsense_is_no_server_and_no_process() {
        assert_eq!(
            servers("a/b c\n1 2 3\n\u{0} \n/ / / / / / 9\n"),
            Observed::new()
        );
        assert_eq!(processes("Unknown command\n"), None);
    }

    #[test]
    fn processes_as_haproxy_2_6_shows_them() {
        let text = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
            12418           master          2 [failed: 1]   0d00h01m02s     2.6.12-1+deb12u3\n# workers\n\
            14570           worker          1               0d00h00m02s     2.6.12-1+deb12u3\n# old workers\n\
            14101           worker          4               0d00h00m09s     2.6.12-1+deb12u3\n# programs\n\n";
        assert_eq!(
            processes(text),
            Some(Processes {
                master: 12418,
                failed: 1,
                worker: Some(14570),
                old: vec![14101],
            })
        );
    }
}
