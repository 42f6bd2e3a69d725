//! The whole-system tests. What stands here is what the README promises, as a user would see it: real processes, real ports,
//! and every promise about the registry kept on a real Consul and on the embedded one alike.

#![allow(missing_docs, reason = "a test's name says what it is")]

/// Makes two tests of each function: `consul::NAME` and `embedded::NAME`. The function is given the kind of registry.
macro_rules! on_both_registries {
    ($($name:ident),+ $(,)?) => {
        mod consul {
            $(
                #[test]
                fn $name() {
                    if e2e::parts::available(&crate::PARTS) && e2e::parts::available(&[e2e::parts::Part::Consul]) {
                        super::$name(e2e::registry::Kind::Consul);
                    }
                }
            )+
        }
        mod embedded {
            $(
                #[test]
                fn $name() {
                    if e2e::parts::available(&crate::PARTS) {
                        super::$name(e2e::registry::Kind::Embedded);
                    }
                }
            )+
        }
    };
}

mod browsed;
mod cut_off;
mod explained;
mod federated;
mod federated_keyed;
mod functions;
mod haproxy;
mod haproxy_asked;
mod haproxy_load;
mod input;
mod membership;
mod moved;
mod outage;
mod patterns;
mod queue_chaos;
mod queues;
mod registered;
mod rendered;
mod rotation;
mod scripts;
mod secured;
mod stand_ins;
mod template_data;
mod template_faults;
mod up;
mod wrapped;

/// What nearly every test here needs.
const PARTS: [e2e::parts::Part; 2] = [e2e::parts::Part::Curl, e2e::parts::Part::Wrk];

/// Says a figure that a test measured, also where the test runner would swallow it.
fn say(line: &str) {
    let test = std::thread::current().name().unwrap_or("e2e").to_owned();
    e2e::parts::say(&format!("{test}: {line}"));
}

/// Asserts that wrk got answers, and good ones only.
fn assert_clean(report: &e2e::wrk::Report) {
    assert!(
        report.requests > 0,
        "no request was answered:\n{}",
        report.text
    );
    assert_eq!(report.failed(), 0, "some requests failed:\n{}", report.text);
}

/// How long a registry is away: `TURNO_E2E_OUTAGE` seconds, or `short`.
fn outage_wanted(short: std::time::Duration) -> std::time::Duration {
    let seconds = std::env::var("TURNO_E2E_OUTAGE").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(short, std::time::Duration::from_secs)
}
