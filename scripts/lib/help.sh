# shellcheck shell=bash
# What every script here answers to --help: the comment at its own top, so that there is one place to keep right. Sourced
# first of all by scripts/*, before they change folder or anything else; not run by itself.
#
#   answer_help "$@"      prints the help and ends with 0, if --help or -h is among the arguments before any --
#   misused TEXT          says what is wrong with the command line, and ends with 2

answer_help() {
  local argument
  for argument in "$@"; do
    case "$argument" in
      --) return 0 ;;
      -h | --help)
        sed -n '2,${/^#/!q;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[1]}"
        exit 0
        ;;
    esac
  done
}

misused() {
  printf '%s: %s; see --help\n' "${0##*/}" "$*" >&2
  exit 2
}
