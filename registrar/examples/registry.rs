//! Runs an embedded registry until interrupted: `cargo run -p registrar --example registry -- 127.0.0.1:8500 [NODE]`.

use std::net::SocketAddr;

use registrar::registry::{Registry, RegistryConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    daemon::telemetry::init(daemon::telemetry::LogFormat::Text);
    let mut arguments = std::env::args().skip(1);
    let mut config = RegistryConfig::default();
    if let Some(address) = arguments.next() {
        config.listen = address.parse::<SocketAddr>()?;
    }
    if let Some(node) = arguments.next() {
        config.node = node;
    }
    let registry = Registry::bind(config).await?;
    registry.run(daemon::shutdown::on_signal()).await;
    Ok(())
}
