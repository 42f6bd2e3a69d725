#!/usr/bin/env bash
# The machine that clients talk to: turno's balancer, or HAProxy driven by turno (BALANCER=haproxy).
set -euo pipefail
role=balancer
# shellcheck source=vagrant/provision/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prepare
[[ "$BALANCER" == turno || "$BALANCER" == haproxy ]] || die "BALANCER=$BALANCER: it is turno or haproxy"
need curl=curl ip=iproute
run_consul client
changed=false
install_turno
open_ports "$BALANCER_PORT/tcp"
if [[ "$BALANCER" == haproxy ]]; then
  need haproxy=haproxy
  # Debian starts it at once, with a file of its own. We start ours.
  systemctl disable --quiet --now haproxy.service 2>/dev/null || true
  # SELinux lets HAProxy connect only to the ports of web servers unless told otherwise.
  if command -v getsebool >/dev/null 2>&1 && getsebool haproxy_connect_any 2>/dev/null | grep -q off; then
    setsebool -P haproxy_connect_any 1
  fi
  write 0600 root:root /etc/turno/haproxy.env <<ENV
CONSUL_HTTP_ADDR=http://127.0.0.1:8500
TURNO_HAPROXY_ARGS=--listen 0.0.0.0:$BALANCER_PORT --route /=$SERVICE --admin 127.0.0.1:8081
ENV
  systemctl disable --quiet --now turno-lb.socket turno-lb.service 2>/dev/null || true
  service turno-haproxy
else
  write 0644 root:root /etc/turno/lb.toml <<TOML
listen = "0.0.0.0:$BALANCER_PORT"
admin = "127.0.0.1:8081"

[[route]]
path = "/"
service = "$SERVICE"
TOML
  systemctl disable --quiet --now turno-haproxy 2>/dev/null || true
  service turno-lb
fi
wait_for "the balancer" curl -sS -o /dev/null "http://127.0.0.1:$BALANCER_PORT"
say "$BALANCER balances on http://$NODE_IP:$BALANCER_PORT"
