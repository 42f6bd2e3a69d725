#!/usr/bin/env bash
# A machine that serves: the sample service, and the agent that registers it.
set -euo pipefail
role=microservice
# shellcheck source=vagrant/provision/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prepare
need curl=curl ip=iproute
run_consul client
changed=false
install_turno
user microservices /var/lib/microservices
open_ports "$SERVICE_PORT/tcp"
instance="$SERVICE-$(hostname -s)"
write 0644 root:root /etc/turno/microservice.env <<ENV
LISTEN=$NODE_IP:$SERVICE_PORT
INSTANCE=$instance
SERVICE=$SERVICE
ENV
write 0644 root:root /etc/systemd/system/microservice.service <"$repository/vagrant/systemd/microservice.service"
service microservice
# The agent sees a changed definition by itself.
changed=false
write 0644 root:root "/etc/turno.d/$SERVICE.json" <<JSON
{
  "service": {
    "id": "$instance",
    "name": "$SERVICE",
    "address": "$NODE_IP",
    "port": $SERVICE_PORT,
    "checks": [{ "http": "http://$NODE_IP:$SERVICE_PORT/health", "interval": "1s", "timeout": "2s" }]
  }
}
JSON
changed=false
service turno-agent
wait_for "$instance to pass its check" \
  bash -c "curl -fsS 'http://127.0.0.1:8500/v1/health/service/$SERVICE?passing' | grep -q '\"$instance\"'"
say "$instance serves http://$NODE_IP:$SERVICE_PORT"
