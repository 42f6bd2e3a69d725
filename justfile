# The one entrance. Each recipe is a script or a cargo command that works without just as well.

default:
    @just --list

# The whole thing on this machine: registry, replicas, balancer.
up *ARGS:
    cargo run --release -- up {{ARGS}}

# Fetch the real programs that tests and benchmark need (Consul, HAProxy, nginx, Chromium, wrk) into .real-parts/.
real-parts:
    scripts/real-parts

# Every test there is.
test *ARGS:
    scripts/test {{ARGS}}

# What CI checks.
ci:
    bash .ci/run

# turno beside HAProxy and nginx.
bench *ARGS:
    scripts/bench {{ARGS}}

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Licences, bans and sources of every dependency; needs cargo-deny.
deny:
    cargo deny check
