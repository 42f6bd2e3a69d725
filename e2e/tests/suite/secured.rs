//! The embedded registry behind TLS, client certificates and a token, as Consul's own command line and turno's own
//! commands reach it: both read the same environment.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::parts::{Part, available};
use e2e::process::{self, Ended, Process};
use e2e::wait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

const TOKEN: &str = "the-token-of-this-test";
/// A command that talks to a registry nearby.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// Writes an authority, and certificates with their keys for a server and a client.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    fs::write(folder.join("ca.pem"), pem).expect("written");
    let issuer = Issuer::new(params, key);
    for name in ["server", "client"] {
        let key = KeyPair::generate().expect("a key");
        let names = ["127.0.0.1".to_owned(), name.to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let signed = params.signed_by(&key, &issuer).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), signed.pem()).expect("written");
        let key = key.serialize_pem();
        fs::write(folder.join(format!("{name}.key")), key).expect("written");
    }
}

#[test]
fn consuls_command_line_and_turnos_get_in_with_certificate_and_token() {
    if !available(&[Part::Consul, Part::Curl]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    fs::write(folder.path().join("token"), TOKEN).expect("written");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let mut command =
        e2e::turno::command(&["registry", "--listen", "127.0.0.1:0", "--node", "e2e"]);
    for (option, name) in [
        ("--tls-cert", "server.pem"),
        ("--tls-key", "server.key"),
        ("--tls-client-ca", "ca.pem"),
        ("--acl-token-file", "token"),
    ] {
        command.arg(option).arg(file(name));
    }
    let mut registry = Process::start("turno registry", command);
    let url = wait::until("its address", wait::SOON, || {
        registry.assert_running();
        let output = registry.output();
        let ready = output.contains("turno: ready");
        let mut words = output.split_whitespace().filter(|_| ready);
        let url = words.find(|word| word.starts_with("https://"));
        url.map(str::to_owned)
    });
    let url = url.0;
    let run = |mut command: Command, token: &str| -> Ended {
        command
            .env("CONSUL_HTTP_ADDR", &url)
            .env("CONSUL_CACERT", file("ca.pem"))
            .env("CONSUL_CLIENT_CERT", file("client.pem"))
            .env("CONSUL_CLIENT_KEY", file("client.key"))
            .env("CONSUL_HTTP_TOKEN", token);
        process::run(command, COMMAND_LIMIT).expect("it can be started")
    };
    let consul = |token: &str, line: &str| {
        let mut command = Command::new(Part::Consul.path());
        command.args(line.split(' '));
        run(command, token)
    };
    let members = consul(TOKEN, "members");
    assert!(
        members.code == 0 && members.stdout.contains("e2e"),
        "{members:?}"
    );
    let put = consul(TOKEN, "kv put a/b some");
    assert_eq!(put.code, 0, "{put:?}");
    assert_eq!(consul(TOKEN, "kv get a/b").stdout.trim(), "some");
    assert_eq!(
        consul("", "kv get a/b").stdout.trim(),
        "some",
        "reading is open"
    );
    let denied = consul("", "kv put a/b other");
    assert!(
        denied.code != 0 && denied.stderr.contains("403"),
        "{denied:?}"
    );
    let services = run(e2e::turno::command(&["services"]), "");
    assert!(
        services.code == 0 && services.stdout.contains("consul"),
        "{services:?}"
    );
    let definition = file("web.hcl");
    fs::write(&definition, "service { name = \"web\" port = 1 }").expect("written");
    let registered = run(e2e::turno::command(&["register", &definition]), TOKEN);
    assert_eq!(registered.code, 0, "{registered:?}");
    let catalog = consul("", "catalog services");
    assert!(catalog.stdout.contains("web"), "{catalog:?}");

    let mut bare = Command::new(Part::Curl.path());
    bare.args([
        "-sS",
        "--cacert",
        &file("ca.pem"),
        &format!("{url}/v1/status/leader"),
    ]);
    let bare = process::run(bare, COMMAND_LIMIT).expect("it can be started");
    assert_ne!(
        bare.code, 0,
        "without a certificate nobody gets in: {bare:?}"
    );
}
