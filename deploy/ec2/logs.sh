#!/usr/bin/env bash
# Shows the logs of this host from the journal, newest last.
#
#   deploy/ec2/logs.sh [SERVICE…] [-- JOURNALCTL-OPTION…]
#
#   deploy/ec2/logs.sh                                  all services, their servers and nginx: the last 200 lines
#   deploy/ec2/logs.sh gateway identity -- --follow     two services, as they log
#   deploy/ec2/logs.sh nats -- --since '10 min ago'
# SERVICE: gateway, identity, tenancy, presence, metering, nats, redis, nginx.
set -euo pipefail
OPTIONS=()
add() {
  case $1 in
    gateway | identity | tenancy | presence | metering) OPTIONS+=("--unit=artcafe@$1.service") ;;
    nats | redis) OPTIONS+=("--unit=$1-server.service") ;;
    # Its messages come by syslog.
    nginx) OPTIONS+=("--identifier=nginx") ;;
    *) echo "logs.sh: unknown service $1" >&2; exit 2 ;;
  esac
}
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --) shift; break ;;
    *) add "$1"; shift ;;
  esac
done
if [ ${#OPTIONS[@]} = 0 ]; then
  OPTIONS=(--unit='artcafe@*.service' --unit=nats-server.service --unit=redis-server.service)
fi
[ $# -gt 0 ] || set -- --lines=200
exec journalctl --no-pager --output=cat "${OPTIONS[@]}" "$@"
