# shellcheck shell=bash
# A small Debian machine for tests: a root made by debootstrap, booted with systemd as its process 1 by systemd-nspawn, with
# a network of its own, so that it takes no port of the machine it runs on. Sourced by scripts/test-*; not run by itself.
#
#   machine_root FOLDER PACKAGE…     makes the root once; later calls find it
#   machine_boot FOLDER              boots a copy of it, sets $machine_pid and $machine_root
#   machine CMD…                     runs a command in it
#   machine_stop                     ends it and removes the copy
#
# Several machines: set machine_name and machine_network (flags of systemd-nspawn) before booting each, and machine_pid
# before talking to one.

machine_suite="${TURNO_TEST_SUITE:-bookworm}"
machine_boot_limit=60 # seconds; booting takes three
machine_name="turno-test-$$"
machine_network=(--private-network)

# The mirror that this machine's own apt sources name, so that no host name stands here.
machine_mirror() {
  local uri
  uri="$(awk '
    tolower($1) == "uris:" && $2 !~ /security/ { print $2; exit }
    $1 == "deb" && $0 !~ /security/ { sub(/\[[^]]*\]/, ""); print $2; exit }' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null || true)"
  [[ -n "$uri" ]] || { echo "no Debian mirror is named in /etc/apt: set TURNO_MIRROR" >&2 && return 1; }
  echo "$uri"
}

machine_root() {
  local folder="$1" packages
  shift
  packages="$(printf '%s,' systemd systemd-sysv dbus procps curl ca-certificates iproute2 "$@")"
  if [[ -e "$folder/.complete" ]]; then
    return 0
  fi
  echo "making a Debian root in $folder"
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! debootstrap --variant=minbase --include="${packages%,}" "$machine_suite" "$folder" \
    "${TURNO_MIRROR:-$(machine_mirror)}" >"$folder.log" 2>&1; then
    tail -5 "$folder.log" >&2
    return 1
  fi
  touch "$folder/.complete"
}

machine_boot() {
  machine_copy="$(mktemp -d "${TMPDIR:-/tmp}/turno-machine.XXXXXX")"
  machine_root="$machine_copy/root"
  cp -a --reflink=auto "$1" "$machine_root"
  # systemd takes it from there, whatever the container was called.
  echo "$machine_name" >"$machine_root/etc/hostname"
  systemd-nspawn --quiet -D "$machine_root" --boot --register=no --keep-unit "${machine_network[@]}" --console=pipe \
    --machine "$machine_name" --hostname "$machine_name" </dev/null >"$machine_copy/console" 2>&1 &
  machine_nspawn=$!
  local deadline=$((SECONDS + machine_boot_limit)) state=""
  while ((SECONDS < deadline)); do
    machine_pid="$(pgrep -P "$machine_nspawn" | head -1 || true)"
    if [[ -n "$machine_pid" ]]; then
      state="$(machine systemctl is-system-running 2>/dev/null || true)"
      case "$state" in running | degraded) return 0 ;; esac
    fi
    kill -0 "$machine_nspawn" 2>/dev/null || break
    sleep 0.2
  done
  echo "the machine did not boot within $machine_boot_limit s (state: ${state:-none}); its console:" >&2
  tail -20 "$machine_copy/console" >&2
  return 1
}

# Everything that belongs to the machine is entered: its files, processes, network and name. Our TMPDIR may not be there.
machine() { TMPDIR=/tmp nsenter --target "$machine_pid" --mount --uts --ipc --net --pid --cgroup --root --wd -- "$@"; }

machine_stop() {
  if [[ -n "${machine_nspawn:-}" ]]; then
    # systemd-nspawn passes it on as a request to power off; a second one ends it at once.
    kill -TERM "$machine_nspawn" 2>/dev/null || true
    local i
    for ((i = 0; i < 100; i++)); do
      kill -0 "$machine_nspawn" 2>/dev/null || break
      ((i == 50)) && kill -TERM "$machine_nspawn" 2>/dev/null
      sleep 0.1
    done
    kill -KILL "$machine_nspawn" 2>/dev/null || true
    wait "$machine_nspawn" 2>/dev/null || true
    machine_nspawn=""
  fi
  if [[ -n "${machine_copy:-}" ]]; then
    rm -rf "$machine_copy"
    machine_copy=""
  fi
}
