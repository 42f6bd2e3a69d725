#!/bin/sh
# Puts turno on this machine as services of systemd, and takes it away again. It may be run again at any time: what is there
# already and has been changed by hand stays. It starts nothing; the last lines say how.
#
#   deploy/install.sh                          the binary found in target/release, or ./turno
#   deploy/install.sh --binary FILE            another one
#   deploy/install.sh --root DIR               into DIR instead of / (DESTDIR=DIR does the same): for images and packages
#   deploy/install.sh --uninstall [--purge]    stop and remove; with --purge changed configuration and data too
set -eu

here="$(cd "$(dirname "$0")" && pwd)"
root="${DESTDIR:-}"
binary="${TURNO_BINARY:-}"
action=install
purge=false

usage() {
  sed -n '2,/^set -eu/{s/^# \{0,1\}//;/^set -eu/d;p;}' "$0"
}

say() { printf 'install: %s\n' "$*"; }

die() {
  printf 'install: %s\n' "$*" >&2
  exit 1
}

# As turno itself: status 2 for a command line that makes no sense.
misused() {
  printf 'install: %s\n' "$*" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case "$1" in
    --binary | --root)
      [ $# -gt 1 ] || misused "$1 needs a value"
      if [ "$1" = --binary ]; then binary="$2"; else root="$2"; fi
      shift
      ;;
    --uninstall) action=uninstall ;;
    --purge) purge=true ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) misused "unknown option $1 (--help tells them)" ;;
  esac
  shift
done
if [ "$purge" = true ] && [ "$action" = install ]; then
  misused "--purge goes with --uninstall"
fi

root="${root%/}"
bin="$root/usr/local/bin"
units="$root/usr/local/lib/systemd/system"
config="$root/etc"

# systemd is asked only about the machine we run on.
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

unit_names() { (cd "$here/systemd" && ls); }

config_names() { (cd "$here/etc" && find . -type f | sed 's|^\./||' | sort); }

# Where an example comes from: most are beside this script, HAProxy's template is one that turno ships anyway.
source_of() {
  case "$1" in
    turno/haproxy.cfg.hbs) printf '%s\n' "$here/../templates/haproxy-reload.cfg.hbs" ;;
    *) printf '%s\n' "$here/etc/$1" ;;
  esac
}

all_config() {
  config_names
  printf 'turno/haproxy.cfg.hbs\n'
}

find_binary() {
  if [ -n "$binary" ]; then
    [ -f "$binary" ] || die "there is no file $binary"
    return
  fi
  for candidate in "$here/../target/release/turno" ./turno; do
    if [ -f "$candidate" ]; then
      binary="$candidate"
      return
    fi
  done
  die "no binary: build one (cargo build --release), or name one (--binary FILE)"
}

writable() {
  mkdir -p "$bin" 2>/dev/null || true
  [ -w "$bin" ] || die "cannot write to $bin: run it as root, or give --root DIR"
}

# Copies only what differs, so that a second run changes nothing. The new binary is put in place by a rename: the old one
# may be running.
put() { # MODE FILE TARGET
  if cmp -s "$2" "$3"; then
    return
  fi
  install -D -m "$1" "$2" "$3.turno-new"
  mv "$3.turno-new" "$3"
  say "$3"
}

relabel() {
  # A file that was copied into place has the label of where it comes from; SELinux then lets systemd start nothing.
  if [ -z "$root" ] && command -v restorecon >/dev/null 2>&1; then
    restorecon -R "$bin/turno" "$units" "$config/turno" "$config/turno.d"
  fi
}

install_all() {
  find_binary
  writable
  put 0755 "$binary" "$bin/turno"
  for unit in $(unit_names); do
    put 0644 "$here/systemd/$unit" "$units/$unit"
  done
  for name in $(all_config); do
    # Tokens belong into the .env files, which systemd reads as root.
    mode=0644
    case "$name" in *.env) mode=0600 ;; esac
    if [ ! -e "$config/$name" ]; then
      put "$mode" "$(source_of "$name")" "$config/$name"
    elif ! cmp -s "$(source_of "$name")" "$config/$name"; then
      say "$config/$name stays as it is"
    fi
  done
  mkdir -p "$config/turno.d"
  relabel
  if live; then
    systemctl daemon-reload
  fi
  cat <<'NEXT'
install: done. To start on this machine:
  systemctl enable --now turno-registry                   unless Consul's agent runs here
  systemctl enable --now turno-agent                      definitions are in /etc/turno.d
  systemctl enable --now turno-lb.socket turno-lb         routes are in /etc/turno/lb.toml
NEXT
}

uninstall_all() {
  writable
  if live; then
    for unit in $(unit_names); do
      case "$unit" in *@.service) systemctl stop "${unit%.service}*" >/dev/null 2>&1 || true ;; esac
      # Not there, or never started: nothing to stop.
      systemctl disable --now "$unit" >/dev/null 2>&1 || true
    done
  fi
  for unit in $(unit_names); do
    rm -f "$units/$unit"
  done
  rm -f "$bin/turno"
  for name in $(all_config); do
    if [ "$purge" = true ] || cmp -s "$(source_of "$name")" "$config/$name"; then
      rm -f "$config/$name"
    elif [ -e "$config/$name" ]; then
      say "$config/$name was changed and stays (--purge removes it)"
    fi
  done
  if [ "$purge" = true ]; then
    for name in turno-registry turno-template turno-mq; do
      rm -rf "$root/var/lib/$name" "$root/var/lib/private/$name"
    done
    rm -rf "$config/turno" "$config/turno.d"
  fi
  for folder in "$config/turno" "$config/turno.d" "$units" "$root/usr/local/lib/systemd"; do
    rmdir "$folder" 2>/dev/null || true
  done
  if live; then
    systemctl daemon-reload
    systemctl reset-failed 'turno-*' 2>/dev/null || true
  fi
  say "removed"
}

"${action}_all"
