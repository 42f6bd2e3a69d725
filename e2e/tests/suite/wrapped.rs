//! `turno run`: any program becomes an instance.

use e2e::http;
use e2e::parts::Part;
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno::{self, Balancer};
use e2e::wait;

on_both_registries!(a_program_that_knows_nothing_joins_and_leaves);

fn a_program_that_knows_nothing_joins_and_leaves(kind: Kind) {
    if !e2e::parts::available(&[Part::Python]) {
        return;
    }
    let registry = Registry::start(kind);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::write(folder.path().join("index.html"), "from python")
        .expect("the folder was just made");
    let mut command = turno::command(&["run", "--name", "web", "--check-tcp"]);
    command.args([
        "--consul",
        &format!("http://{}", registry.address),
        "--",
        "sh",
        "-c",
    ]);
    command.arg(format!(
        "exec {} -m http.server --bind 127.0.0.1 $PORT",
        Part::Python.path().display()
    ));
    command.current_dir(folder.path());
    let mut program = Process::start("turno run", command);
    wait::until_true("the program to pass its check", wait::SOON, || {
        program.assert_running();
        registry.passing("web").len() == 1
    });
    let balancer = Balancer::start(registry.address, "round-robin");
    let (answer, _) = wait::until("the page through the balancer", wait::SOON, || {
        http::get(balancer.address, "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.text(), "from python");

    program.stop(wait::SOON);

    assert_eq!(registry.passing("web"), Vec::<String>::new());
    let (answer, _) = wait::until("the balancer to have nobody", wait::SOON, || {
        http::get(balancer.address, "/")
            .ok()
            .filter(|answer| answer.status == 503)
    });
    assert_eq!(
        answer.text().trim_end().lines().count(),
        1,
        "{}",
        answer.text()
    );
}

#[test]
fn the_exit_status_of_the_program_is_ours() {
    let registry = Registry::start(Kind::Embedded);
    let url = format!("http://{}", registry.address);
    let ended = turno::run(&[
        "run", "--name", "web", "--consul", &url, "--", "sh", "-c", "exit 7",
    ]);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert_eq!(
        registry.passing("web"),
        Vec::<String>::new(),
        "it deregisters whatever happens"
    );
}
