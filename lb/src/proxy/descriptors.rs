//! How many files this process may have open, and how many clients that allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for everything but clients and their upstreams: listeners, the registry's connections, admin, the log,
/// and upstream connections kept for reuse that nobody is using just now.
const RESERVE: u64 = 64;

/// Raises this process's own limit as far as it may, and tells how many clients fit: each can need a second descriptor for
/// its upstream. At least 1.
pub(crate) fn clients_allowed() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where the limit is as high as it can be.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let open = getrlimit(Resource::Nofile).current;
    open.map_or(usize::MAX, clients_within)
}

/// How many clients fit into `open` descriptors.
fn clients_within(open: u64) -> usize {
    let reserve = RESERVE.min(open / 2);
    usize::try_from((open - reserve) / 2)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_room_for_its_upstream() {
        for (open, clients) in [
            (0, 1),
            (64, 16),
            (256, 96),
            (1_024, 480),
            (1_048_576, 524_256),
        ] {
            assert_eq!(clients_within(open), clients, "{open}");
        }
    }
}
