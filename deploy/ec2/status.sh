#!/usr/bin/env bash
# Shows what runs on this host: units, revisions, health, restarts, memory. Exits with 1 if something is not well.
#
#   deploy/ec2/status.sh
set -euo pipefail
# shellcheck source=deploy/ec2/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
case "${1:-}" in
  "") ;;
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) fail "unknown argument $1; see --help" ;;
esac

WELL=yes
printf 'revision   %s\n' "$(current_revision)"
for unit in nats-server redis-server nginx $(enabled_services | sed 's/.*/artcafe@&/'); do
  systemctl is-enabled --quiet "$unit.service" 2>/dev/null || continue
  state=$(systemctl is-active "$unit.service" || true)
  [ "$state" = active ] || WELL=no
  memory=$(systemctl show -P MemoryCurrent "$unit.service")
  [[ $memory =~ ^[0-9]+$ ]] && memory=$((memory / 1048576)) || memory='?'
  printf '%-20s %-11s %3s restarts %5s MiB  %s\n' "$unit" "$state" "$(systemctl show -P NRestarts "$unit.service")" \
    "$memory" "$(systemctl show -P StatusText "$unit.service")"
done
if systemctl is-enabled --quiet artcafe@gateway.service 2>/dev/null; then
  health=$(curl --silent --max-time 5 "$(gateway_url)/health" || true)
  echo "health     ${health:-the gateway does not answer}"
  [[ $health == '{"status":"ok"'* ]] || WELL=no
fi
[ "$WELL" = yes ]
