#!/usr/bin/env bash
# Brings a release onto this host: unpacks it, checks the host with it, restarts the services one after another, and
# waits until each says that it is ready and runs the new revision. Otherwise it rolls back. Run by deploy.sh as root.
#
#   release.sh REVISION TARBALL      a new release
#   release.sh REVISION              one that is on this host already, such as the one before
#   release.sh --list                the releases of this host, the current one marked
set -euo pipefail
# shellcheck source=deploy/ec2/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
KEPT_RELEASES=3

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

restart_services() { # restart_services REVISION SERVICE…
  local revision=$1 service
  shift
  for service in "$@"; do
    systemctl restart --no-block "artcafe@$service.service"
    wait_until_ready "$revision" "$service" || return 1
  done
  if [[ " $* " == *" gateway "* ]]; then check_health "$revision"; fi
}

activate() { # activate REVISION SERVICE…
  switch_to "$1"
  install_host_files "$CURRENT" && reload_nginx && restart_services "$@"
}

# Whether this host has nats-server and all keys.
upgrades_broker() { has_all_keys && systemctl is-enabled --quiet nats-server.service 2>/dev/null; }

# upgrade_broker RELEASE: what nats-server needs before the services; it is not rolled back with them, since earlier
# releases work with it, and its store may be written in a newer format.
upgrade_broker() {
  local before=$CHANGES
  upgrades_broker || return 0
  install_nats_server "$1" && renew_keys "$1" || return 1
  [ "$CHANGES" != "$before" ] || return 0
  systemctl restart nats-server.service
}

reload_nginx() {
  systemctl is-active --quiet nginx.service || return 0
  systemctl reload nginx.service
}

prune_releases() {
  local release environment
  find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +$((KEPT_RELEASES + 1)) |
    while read -r _ release; do
      [ "$release" = "$(readlink "$CURRENT")" ] || [ "$release" = "$RELEASES/$PREVIOUS" ] || rm -rf "$release"
    done
  for environment in "$ENVIRONMENTS"/*/; do
    grep -qsF "$(basename "$environment")/" "$RELEASES"/*/.venv/lib/python*/site-packages/environment.pth || rm -rf "$environment"
  done
}

case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  --list)
    for release in "$RELEASES"/*/; do
      release=$(basename "$release")
      if [ "$release" = "$(current_revision)" ]; then echo "$release (current)"; else echo "$release"; fi
    done
    exit 0 ;;
esac
if [ $# -lt 1 ] || [ $# -gt 2 ]; then usage >&2; exit 2; fi
[ "$(id -u)" = 0 ] || fail "run this as root"
REVISION=$1 TARBALL=${2:-}
[[ $REVISION =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "a revision has letters, digits, dots and dashes: $REVISION"
exec 9>/run/artcafe-release.lock
flock -n 9 || fail "another release is in progress on this host"
# This file may be replaced while it runs: bash has read the whole of it before it gets here.
main() {
  local tree services
  PREVIOUS=$(current_revision)
  [ -n "$PREVIOUS" ] || fail "nothing is installed on this host: run install.sh"
  mapfile -t services < <(enabled_services)
  if [ ! -f "$RELEASES/$REVISION/revision.env" ]; then
    [ -n "$TARBALL" ] || fail "$REVISION is not on this host: name its tarball"
    tree=$(mktemp -d)
    tar -C "$tree" -xf "$TARBALL"
    build_release "$tree" "$REVISION" || fail "$REVISION cannot be installed; $PREVIOUS goes on"
    rm -rf "$tree"
  fi
  say "checking this host for $REVISION"
  ARTCAFE_RELEASE=$RELEASES/$REVISION /usr/local/bin/artcafe upgrade --check $(! upgrades_broker || echo --upgrades-follow) ||
    fail "this host is not ready for $REVISION; $PREVIOUS goes on"
  if upgrade_broker "$RELEASES/$REVISION" && activate "$REVISION" "${services[@]}"; then
    touch "$RELEASES/$REVISION"
    prune_releases
    say "revision $REVISION is ready on $(uname -n)"
    return 0
  fi
  say "$REVISION did not get ready; rolling back to $PREVIOUS" >&2
  restore_credentials
  activate "$PREVIOUS" "${services[@]}" || fail "$PREVIOUS did not get ready either on $(uname -n): look at it now"
  fail "$REVISION did not get ready on $(uname -n); rolled back to $PREVIOUS"
}
main
exit
