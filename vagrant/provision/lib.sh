# shellcheck shell=bash
# What the machines of all roles need: packages, users, turno, Consul, the firewall. Sourced by the scripts beside it. Works
# on CentOS, Rocky, AlmaLinux, Fedora and Debian; every step may be done again, and changes nothing then.
#
# Settings, by environment; the Vagrantfile has the same:
NODE_IP="${NODE_IP:-}"                   # this machine's address, as the others reach it; default: that of the first route
DISCOVERY_IP="${DISCOVERY_IP:-$NODE_IP}" # where the Consul server is
DATACENTER="${DATACENTER:-dc1}"
SERVICE="${SERVICE:-hello}"
SERVICE_PORT="${SERVICE_PORT:-8080}"
BALANCER="${BALANCER:-turno}"            # turno, or haproxy
BALANCER_PORT="${BALANCER_PORT:-8080}"
CONSUL_VERSION="${CONSUL_VERSION:-1.20.6}"
CONSUL_URL="${CONSUL_URL:-}"             # a zip; default: HashiCorp's, of that version
CONSUL_BINARY="${CONSUL_BINARY:-}"       # a file, instead of downloading one
TURNO_BINARY="${TURNO_BINARY:-}"         # a file, instead of building one; relative to the repository
TURNO_PORT="${TURNO_PORT:-8479}"         # where `discovery` hands the binary it has built to the others
RUST_URL="${RUST_URL:-https://sh.rustup.rs}"
export PATH="$PATH:/usr/local/bin:/usr/sbin:/sbin"

# The repository, wherever it is.
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

readonly wait_limit=60 # seconds for something that was started to answer

say() { printf '%s: %s\n' "${role:-provision}" "$*"; }

die() {
  printf '%s: %s\n' "${role:-provision}" "$*" >&2
  exit 1
}

prepare() {
  ((EUID == 0)) || die "run it as root"
  [[ -d /run/systemd/system ]] || die "systemd does not run here"
  if [[ -z "$NODE_IP" ]]; then
    NODE_IP="$(ip -4 route get 192.0.2.1 2>/dev/null | grep -oP 'src \K[0-9.]+' || true)"
    [[ -n "$NODE_IP" ]] || die "this machine's address is not known: set NODE_IP"
  fi
  DISCOVERY_IP="${DISCOVERY_IP:-$NODE_IP}"
}

# Installs the packages of those programs that are missing: PROGRAM=PACKAGE, as CentOS calls it.
need() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  if command -v dnf >/dev/null 2>&1; then
    dnf -y -q install "${missing[@]}"
  elif command -v apt-get >/dev/null 2>&1; then
    apt-get -qq update
    # The one name that differs.
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${missing[@]/#iproute/iproute2}"
  else
    die "neither dnf nor apt-get is here: install ${missing[*]} by hand, and run this again"
  fi
}

# A user of the system's own kind, with a home that may not exist.
user() { # NAME HOME
  id -u "$1" >/dev/null 2>&1 || useradd --system --user-group --home-dir "$2" --no-create-home --shell "$(nologin)" "$1"
}

nologin() { type -P nologin || echo /bin/false; }

# Writes standard input to a file; says and remembers whether that changed anything.
changed=false
write() { # MODE OWNER FILE
  local new
  new="$(mktemp)"
  cat >"$new"
  if ! cmp -s "$new" "$3"; then
    install -D -m "$1" -o "${2%%:*}" -g "${2#*:}" "$new" "$3"
    changed=true
    say "$3"
  fi
  rm -f "$new"
}

# A program that is copied into place has the label of where it comes from. SELinux stays enforcing, so it needs its own.
relabel() {
  if command -v restorecon >/dev/null 2>&1; then
    restorecon -R "$@"
  fi
}

# Opens ports where firewalld runs: CentOS and its kin.
open_ports() { # PORT/PROTOCOL…
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  firewall-cmd --quiet --state 2>/dev/null || return 0
  local port opened=false
  for port in "$@"; do
    if ! firewall-cmd --quiet --permanent --query-port "$port"; then
      firewall-cmd --quiet --permanent --add-port "$port"
      opened=true
    fi
  done
  if [[ "$opened" == true ]]; then
    firewall-cmd --quiet --reload
    say "firewall: $*"
  fi
}

wait_for() { # WHAT COMMAND…
  local what="$1" deadline=$((SECONDS + wait_limit))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "waited $wait_limit s for $what"
    sleep 0.5
  done
}

# Starts a service, or starts it anew if what it reads has changed.
service() {
  systemctl daemon-reload
  systemctl enable --quiet "$1"
  if [[ "$changed" == true ]]; then
    systemctl restart "$1"
  else
    systemctl start "$1"
  fi
}

# turno: a binary that was given, one that `discovery` has built, or, on `discovery`, one that is built now.
install_turno() {
  local binary="$TURNO_BINARY" before
  before="$(sha256sum /usr/local/bin/turno 2>/dev/null || true)"
  if [[ -n "$binary" ]]; then
    [[ "$binary" == /* ]] || binary="$repository/$binary"
    [[ -f "$binary" ]] || die "there is no file $binary (TURNO_BINARY)"
  elif [[ "$role" == discovery || "$DISCOVERY_IP" == "$NODE_IP" ]]; then
    build_turno
    binary="$repository/target/release/turno"
  else
    binary="$(mktemp)"
    wait_for "the binary that discovery has built" curl -fsS -o "$binary" "http://$DISCOVERY_IP:$TURNO_PORT/turno"
    chmod +x "$binary"
  fi
  "$repository/deploy/install.sh" --binary "$binary" >/dev/null
  relabel /usr/local/bin
  if [[ "$(sha256sum /usr/local/bin/turno)" != "$before" ]]; then
    changed=true
    say "$(/usr/local/bin/turno --version)"
  fi
}

build_turno() {
  need cc=gcc curl=curl
  if ! command -v cargo >/dev/null 2>&1 && [[ ! -x /root/.cargo/bin/cargo ]]; then
    say "installing Rust from $RUST_URL"
    curl -fsSL "$RUST_URL" | sh -s -- -y --profile minimal --no-modify-path >/dev/null
  fi
  say "building turno; this takes minutes"
  (cd "$repository" && PATH="/root/.cargo/bin:$PATH" cargo build --release --locked --package turno)
}

install_consul() {
  local url download
  if [[ -n "$CONSUL_BINARY" ]]; then
    cmp -s "$CONSUL_BINARY" /usr/local/bin/consul || install -m 0755 "$CONSUL_BINARY" /usr/local/bin/consul
  elif ! command -v consul >/dev/null 2>&1; then
    need curl=curl unzip=unzip
    url="${CONSUL_URL:-https://releases.hashicorp.com/consul/$CONSUL_VERSION/consul_${CONSUL_VERSION}_linux_$(architecture).zip}"
    say "installing Consul from $url"
    download="$(mktemp -d)"
    curl -fsSL -o "$download/consul.zip" "$url"
    unzip -q "$download/consul.zip" -d "$download"
    install -m 0755 "$download/consul" /usr/local/bin/consul
    rm -rf "$download"
  fi
  relabel /usr/local/bin
}

architecture() {
  case "$(uname -m)" in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# Consul's agent: `server`, or `client` of the one at DISCOVERY_IP. A machine that has the server needs no client.
run_consul() { # server|client
  if [[ "$1" == client && -e /etc/consul/server ]]; then
    return 0
  fi
  install_consul
  user consul /var/lib/consul
  install -d -m 0750 -o consul -g consul /var/lib/consul
  changed=false
  if [[ "$1" == server ]]; then
    write 0644 root:root /etc/consul/server </dev/null
  fi
  write 0644 root:root /etc/consul/consul.json <<JSON
{
  "datacenter": "$DATACENTER",
  "node_name": "$(hostname -s)",
  "data_dir": "/var/lib/consul",
  "bind_addr": "$NODE_IP",
  "client_addr": "$([[ "$1" == server ]] && echo 0.0.0.0 || echo 127.0.0.1)",
  $([[ "$1" == server ]] && echo '"server": true, "bootstrap_expect": 1, "ui": true' || echo "\"retry_join\": [\"$DISCOVERY_IP\"]")
}
JSON
  write 0644 root:root /etc/systemd/system/consul.service <"$repository/vagrant/systemd/consul.service"
  open_ports 8300/tcp 8301/tcp 8301/udp 8500/tcp
  service consul
  wait_for "Consul to have a leader" bash -c 'curl -fsS http://127.0.0.1:8500/v1/catalog/nodes | grep -q Node'
}
