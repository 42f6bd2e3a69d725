//! What `turno up` prints: what runs where, what to try, and then a line for each change.
//!
//! It is told everything; it looks nothing up.

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::api::UpView;
use crate::{failure::Failure, output};

/// Prints the beginning, then each change of the rotation until `shutdown`.
pub(super) async fn all(
    view: &UpView,
    embedded: bool,
    mut changes: Receiver<::lb::Change>,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    output::print(&beginning(view, embedded))?;
    output::ready()?;
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = shutdown.cancelled() => return Ok(()),
        };
        match change {
            Ok(change) => output::line(&output::printable(&change.to_string()))?,
            Err(RecvError::Lagged(missed)) => output::line(&format!("({missed} more changes)"))?,
            Err(RecvError::Closed) => {
                shutdown.cancelled().await;
                return Ok(());
            }
        }
    }
}

fn beginning(view: &UpView, embedded: bool) -> String {
    let own = std::process::id().to_string();
    let registry_pid = if embedded {
        own.clone()
    } else {
        "-".to_owned()
    };
    let mut rows = vec![
        ["registry".to_owned(), view.registry.clone(), registry_pid],
        [
            "balancer".to_owned(),
            format!("http://{}", view.balancer),
            own.clone(),
        ],
        ["admin".to_owned(), format!("http://{}", view.admin), own],
    ];
    for replica in &view.replicas {
        let address = replica
            .address
            .map_or_else(|| "-".to_owned(), |a| format!("http://{a}"));
        let pid = replica
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        rows.push([replica.id.clone(), address, pid]);
    }
    let table = output::table(["what", "where", "pid"], &rows);
    format!("{table}\n{}\n", advice(view))
}

/// What to type next, complete with the addresses of this run.
fn advice(view: &UpView) -> String {
    let (service, more) = (&view.service, view.desired + 2);
    let admin = match view.admin.to_string().as_str() {
        "127.0.0.1:8081" => String::new(),
        other => format!(" --admin {other}"),
    };
    let registry = match view.registry.as_str() {
        "http://127.0.0.1:8500" => String::new(),
        other => format!(" --consul {other}"),
    };
    let mut lines = vec![
        format!("curl http://{}/", view.balancer),
        format!("a browser on http://{}/", view.admin),
        format!("turno scale {service}={more}{admin}"),
        format!("turno explain {service}{registry}"),
    ];
    if let Some(pid) = view.replicas.first().and_then(|replica| replica.pid) {
        lines.push(format!("kill -9 {pid}"));
    }
    lines.iter().map(|line| format!("try:  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::board::{Phase, ReplicaView};

    fn view(admin: &str, registry: &str) -> UpView {
        UpView {
            service: "hello".to_owned(),
            desired: 1,
            in_rotation: 1,
            replicas: vec![ReplicaView {
                id: "hello-1".to_owned(),
                address: "127.0.0.1:40123".parse().ok(),
                pid: Some(7),
                restarts: 0,
                phase: Phase::Registered,
            }],
            registry: registry.to_owned(),
            balancer: "127.0.0.1:8080".parse().expect("a literal"),
            admin: admin.parse().expect("a literal"),
        }
    }

    #[test]
    fn the_beginning_says_what_runs_where() {
        let text = beginning(&view("127.0.0.1:8081", "http://10.0.0.5:8500"), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "what      where                   pid");
        assert_eq!(lines[1], "registry  http://10.0.0.5:8500    -");
        assert_eq!(lines[4], "hello-1   http://127.0.0.1:40123  7");
    }

    #[test]
    fn the_advice_works_as_typed() {
        let text = advice(&view("127.0.0.1:8081", "http://127.0.0.1:8500"));
        assert!(text.contains("try:  turno scale hello=3\n"), "{text}");
        assert!(text.contains("try:  turno explain hello\n"), "{text}");
        assert!(text.contains("try:  kill -9 7\n"), "{text}");
        let text = advice(&view("127.0.0.1:9", "http://127.0.0.1:10"));
        assert!(
            text.contains("scale hello=3 --admin 127.0.0.1:9\n"),
            "{text}"
        );
        assert!(
            text.contains("explain hello --consul http://127.0.0.1:10\n"),
            "{text}"
        );
    }
}
