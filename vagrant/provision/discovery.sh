#!/usr/bin/env bash
# The machine that remembers: a Consul server. It also hands turno to the other machines, if it was built here.
set -euo pipefail
role=discovery
# shellcheck source=vagrant/provision/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prepare
need curl=curl ip=iproute
install_turno
run_consul server
if [[ -z "$TURNO_BINARY" ]]; then
  need python3=python3
  changed=false
  write 0644 root:root /etc/systemd/system/turno-handout.service <<UNIT
# Hands the program that was built here to the other machines of this Vagrantfile, and nothing else.
[Unit]
Description=turno: the program, for the other machines

[Service]
DynamicUser=yes
ExecStart=$(command -v python3) -m http.server --bind $NODE_IP --directory /usr/local/bin $TURNO_PORT
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
  open_ports "$TURNO_PORT/tcp"
  service turno-handout
fi
say "Consul serves http://$NODE_IP:8500"
