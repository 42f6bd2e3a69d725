//! The loop under paused time with a made-up check, and the runner with real sockets.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::check::{FIRST_RUN_SPREAD, Source, Tls, WARM_UP_START};

/// Longer than any of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// More reports than any of these tests leaves unread.
const REPORTS: usize = 4096;

/// Runs the loop for `length` of paused time; a run takes `run_takes` and finds the next of
/// `results`, the last one for ever. Returns when each run started and what was reported.
async fn simulate(
    length: Duration,
    run_takes: Duration,
    spec: &CheckSpec,
    results: &str,
) -> (Vec<Duration>, String) {
    let start = Instant::now();
    let (starts, reported) = (RefCell::new(Vec::new()), RefCell::new(String::new()));
    let busy = Cell::new(false);
    let run = || async {
        assert!(!busy.replace(true), "two runs at once");
        let n = starts.borrow().len();
        starts.borrow_mut().push(start.elapsed());
        tokio::time::sleep(run_takes).await;
        busy.set(false);
        match results.chars().nth(n).or(results.chars().last()) {
            Some('P') => Outcome::passing("P"),
            _ => Outcome::critical("C"),
        }
    };
    let looping = keep_running(
        Pace::new(spec.pause(), Status::Critical),
        Thresholds::new(
            spec.success_before_passing,
            spec.failures_before_warning,
            spec.failures_before_critical,
        ),
        run,
        |outcome| reported.borrow_mut().push_str(&outcome.output),
    );
    assert!(
        tokio::time::timeout(length, looping).await.is_err(),
        "the loop never ends"
    );
    (starts.into_inner(), reported.into_inner())
}

fn tcp(id: &str, address: &str, interval: Duration) -> CheckSpec {
    CheckSpec {
        id: id.into(),
        kind: CheckKind::Tcp {
            address: address.into(),
            tls: None,
        },
        interval,
        timeout: Duration::from_secs(5),
        success_before_passing: 1,
        failures_before_critical: 1,
        failures_before_warning: 0,
        output_max: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_run_is_soon_and_the_others_an_interval_apart() {
    let second = Duration::from_secs(1);
    let spec = tcp("a", "", 10 * second);
    let (starts, reported) = simulate(100 * second, second, &spec, "P").await;
    assert!(
        starts[0] <= FIRST_RUN_SPREAD + Duration::from_millis(2),
        "{starts:?}"
    );
    for pair in starts[1..].windows(2) {
        let apart = pair[1] - pair[0];
        // The pause counts from the end of a run; timers are exact to a millisecond.
        assert!(
            apart >= 11 * second && apart < 11 * second + second / 100,
            "{starts:?}"
        );
    }
    assert!((9..=10).contains(&reported.len()), "{reported}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_listens_late_is_found_before_the_interval_is_over() {
    let spec = tcp("a", "", Duration::from_secs(30));
    let (starts, reported) = simulate(5 * WARM_UP_START, Duration::ZERO, &spec, "CCP").await;
    assert_eq!((starts.len(), reported.as_str()), (3, "CCP"));
}

#[tokio::test(start_paused = true)]
async fn results_below_the_threshold_are_not_reported() {
    let mut spec = tcp("a", "", Duration::from_secs(1));
    spec.failures_before_critical = 3;
    let (_, reported) = simulate(
        Duration::from_millis(7900),
        Duration::ZERO,
        &spec,
        "PCCPCCC",
    )
    .await;
    assert!(reported.starts_with("PPC"), "{reported}");
}

#[derive(Debug)]
struct Sink(mpsc::Sender<(String, Status, String)>);

impl Report for Sink {
    fn report(&self, check_id: &str, status: Status, output: String) {
        // The test may be over, or wait for something else.
        let _ = self.0.try_send((check_id.to_owned(), status, output));
    }
}

fn runner() -> (Runner, mpsc::Receiver<(String, Status, String)>) {
    let (sender, reports) = mpsc::channel(REPORTS);
    (Runner::new(Arc::new(Sink(sender))), reports)
}

async fn until(
    reports: &mut mpsc::Receiver<(String, Status, String)>,
    wanted: impl Fn(&(String, Status, String)) -> bool,
) -> (String, Status, String) {
    let found = async {
        loop {
            let report = reports.recv().await.expect("the runner lives");
            if wanted(&report) {
                return report;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("the report comes")
}

#[tokio::test]
async fn an_instance_is_followed_as_it_comes_and_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (runner, mut reports) = runner();
    runner.set(
        tcp("service:web", &address, Duration::from_millis(20)),
        Status::Critical,
    );
    let (id, _, output) = until(&mut reports, |(_, status, _)| *status == Status::Passing).await;
    assert_eq!(
        (id.as_str(), output),
        ("service:web", format!("TCP connect {address}: Success"))
    );
    drop(listener);
    until(&mut reports, |(_, status, _)| *status == Status::Critical).await;
}

#[tokio::test]
async fn a_check_that_hangs_is_critical_when_its_time_is_up() {
    // It accepts connections (the kernel does) and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let (runner, mut reports) = runner();
    let kind = CheckKind::Http {
        url: url.clone(),
        method: "GET".into(),
        headers: vec![],
        body: String::new(),
        tls: Tls::default(),
        disable_redirects: false,
    };
    let timeout = Duration::from_millis(50);
    let hour = Duration::from_secs(3600);
    runner.set(
        CheckSpec {
            kind,
            timeout,
            ..tcp("slow", "", hour)
        },
        Status::Passing,
    );
    let (_, status, output) = until(&mut reports, |_| true).await;
    assert_eq!(status, Status::Critical);
    assert!(
        output.contains("no complete answer within 50ms"),
        "{output}"
    );
}

#[tokio::test]
async fn a_removed_check_runs_no_more_and_a_replaced_one_runs_anew() {
    let hour = Duration::from_secs(3600);
    let (runner, mut reports) = runner();
    runner.set(tcp("a", "127.0.0.1:1", hour), Status::Passing);
    until(&mut reports, |_| true).await;
    // The same again changes nothing; another address is another check.
    runner.set(tcp("a", "127.0.0.1:1", hour), Status::Passing);
    runner.set(tcp("a", "127.0.0.1:2", hour), Status::Passing);
    let (_, _, output) = until(&mut reports, |_| true).await;
    assert!(output.contains("127.0.0.1:2"), "{output}");
    assert_eq!(runner.len(), 1);

    assert!(runner.remove("a"));
    assert!(!runner.remove("a"));
    assert!(runner.is_empty());
    drop(runner);
    // All senders are gone, so no task is left.
    let rest = tokio::time::timeout(PATIENCE, reports.recv())
        .await
        .expect("the runner ends");
    assert_eq!(rest, None);
}

#[tokio::test]
async fn a_thousand_checks_all_report() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let accepting = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            // An error is one connection less; the check it belonged to runs again.
            drop(listener.accept().await);
        }
    }));
    let (runner, mut reports) = runner();
    for n in 0..1000 {
        runner.set(
            tcp(&n.to_string(), &address, Duration::from_secs(60)),
            Status::Critical,
        );
    }
    let mut passing = std::collections::HashSet::new();
    while passing.len() < 1000 {
        let (id, ..) = until(&mut reports, |(_, status, _)| *status == Status::Passing).await;
        passing.insert(id);
    }
    drop(accepting);
}

#[tokio::test]
async fn a_script_runs_only_where_the_policy_lets_it() {
    let hour = Duration::from_secs(3600);
    let script = |source| CheckSpec {
        kind: CheckKind::Script {
            args: vec!["echo".into(), "ran".into()],
            source,
        },
        ..tcp("script", "", hour)
    };
    let table = [
        (Scripts::Off, Source::Local, Status::Critical),
        (Scripts::Off, Source::Remote, Status::Critical),
        (Scripts::Local, Source::Local, Status::Passing),
        (Scripts::Local, Source::Remote, Status::Critical),
        (Scripts::All, Source::Remote, Status::Passing),
    ];
    for (scripts, source, expected) in table {
        let (sender, mut reports) = mpsc::channel(REPORTS);
        let runner = Runner::with_scripts(Arc::new(Sink(sender)), scripts);
        runner.set(script(source), Status::Passing);
        let (_, status, output) = until(&mut reports, |_| true).await;
        assert_eq!(status, expected, "{scripts:?} {source:?} {output}");
        assert_eq!(output == "ran\n", expected == Status::Passing, "{output}");
    }
}

#[tokio::test]
async fn each_kind_says_that_its_time_is_up() {
    // It accepts connections (the kernel does) and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let tls = Some(Tls::default());
    let sleep = ["sleep", "1000"].map(String::from).into();
    let kinds = [
        (
            CheckKind::H2Ping {
                address: address.clone(),
                tls: tls.clone(),
            },
            "HTTP2 ping",
        ),
        (
            CheckKind::Grpc {
                target: address.clone(),
                tls: None,
            },
            "gRPC check",
        ),
        (
            CheckKind::Zmtp {
                address: address.clone(),
            },
            "did not greet",
        ),
        (CheckKind::Tcp { address, tls }, "i/o timeout"),
        (
            CheckKind::Script {
                args: sleep,
                source: Source::Remote,
            },
            "Timed out (50ms)",
        ),
    ];
    let (sender, mut reports) = mpsc::channel(REPORTS);
    let runner = Runner::with_scripts(Arc::new(Sink(sender)), Scripts::All);
    for (kind, text) in kinds {
        let spec = CheckSpec {
            kind,
            timeout: Duration::from_millis(50),
            ..tcp("late", "", Duration::from_secs(3600))
        };
        runner.set(spec, Status::Passing);
        let (_, status, output) = until(&mut reports, |(.., output)| output.contains(text)).await;
        assert_eq!(status, Status::Critical, "{output}");
    }
}

/// Prints what it costs; how long anything takes is no business of a test.
#[test]
fn two_thousand_checks_a_second_fit_on_one_thread() {
    const CHECKS: usize = 2000;
    const ROUNDS: usize = 3;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let before = cpu_time();
    let started = std::time::Instant::now();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let accepting = tokio::spawn(async move {
            loop {
                drop(listener.accept().await);
            }
        });
        let (runner, mut reports) = runner();
        for n in 0..CHECKS {
            let spec = tcp(&n.to_string(), &address, Duration::from_secs(1));
            runner.set(spec, Status::Critical);
        }
        let mut passed = std::collections::HashMap::new();
        let mut complete = 0;
        while complete < CHECKS {
            let (id, ..) = until(&mut reports, |(_, status, _)| *status == Status::Passing).await;
            let times: &mut usize = passed.entry(id).or_default();
            *times += 1;
            complete += usize::from(*times == ROUNDS);
        }
        accepting.abort();
    });
    let (cpu, wall) = (cpu_time().saturating_sub(before), started.elapsed());
    println!("{CHECKS} TCP checks, {ROUNDS} runs each: {cpu:?} of CPU in {wall:?}");
}

/// What this process has used so far (with the other tests that run beside this one).
fn cpu_time() -> Duration {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        clock.tv_sec.unsigned_abs(),
        u32::try_from(clock.tv_nsec).unwrap_or_default(),
    )
}
