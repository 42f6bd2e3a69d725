//! What is asked of the proxies. Every case is one that a real balancer meets all day.

/// One way to load a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it is, for a reader.
    pub(crate) what: &'static str,
    /// How many connections clients hold.
    pub(crate) connections: usize,
    /// The path that the origins answer with the body wanted.
    pub(crate) path: &'static str,
    /// Whether every request comes on a connection of its own.
    pub(crate) close: bool,
}

/// All cases, in the order of the table.
pub(crate) const CASES: [Case; 5] = [
    Case {
        name: "keep-alive-64",
        what: "keep-alive, 64 connections, 30-byte body",
        connections: 64,
        path: "/",
        close: false,
    },
    Case {
        name: "keep-alive-1000",
        what: "keep-alive, 1,000 connections, 30-byte body",
        connections: 1_000,
        path: "/",
        close: false,
    },
    Case {
        name: "body-16k",
        what: "keep-alive, 64 connections, 16 KiB body",
        connections: 64,
        path: "/16k",
        close: false,
    },
    Case {
        name: "body-1m",
        what: "keep-alive, 64 connections, 1 MiB body",
        connections: 64,
        path: "/1m",
        close: false,
    },
    Case {
        name: "new-connection",
        what: "a new connection for each request, 64 at a time",
        connections: 64,
        path: "/",
        close: true,
    },
];
