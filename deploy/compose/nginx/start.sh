#!/usr/bin/env bash
# Runs nginx in its container of compose.yaml. The names `gateway` and `nats` stand for the addresses of their
# containers, which change when one is added, replaced or removed; nginx then loads its configuration again.
#
#   start.sh     settings: those of deploy/nginx/render.sh, ARTCAFE_DOMAIN (localhost), NATS_NAME (nats), and NATS_AUTHORITY:
#                the certificate of the authority of nodes whose WebSockets are encrypted
set -euo pipefail
case "${1:-}" in
  "") ;;
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  *) echo "start.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac
HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
DOMAIN=${ARTCAFE_DOMAIN:-localhost}
CONFIGURATION=/tmp/nginx.conf
CHECK_INTERVAL_S=2
export API_HOST="api.$DOMAIN" WS_HOST="ws.$DOMAIN" HTTPS_PORT=8443 HTTP_PORT=8080
export ACCESS_LOG=/dev/stdout ERROR_LOG=stderr

addresses() { # addresses NAME PORT: one line, separated by commas
  getent ahostsv4 "$1" | awk -v port="$2" '{ print $1 ":" port }' | sort -u | paste -sd, || true
}

render() { # render GATEWAYS NATS: the configuration of all hosts, with the servers of this directory
  # As a user without rights, and with a root file system that is read-only.
  GATEWAYS=$1 "$HERE/render.sh" | sed -e '$d' -e '/^user /d' -e 's#^pid .*#pid /tmp/nginx.pid;#'
  local scheme=http tls=
  if [ -n "${NATS_AUTHORITY:-}" ]; then
    scheme=https
    tls="proxy_ssl_verify on; proxy_ssl_trusted_certificate $NATS_AUTHORITY; proxy_ssl_name localhost;"
  fi
  sed -e "s/@DOMAIN@/$DOMAIN/g" -e "s/@NATS@/server ${2//,/; server };/g" \
    -e "s#@NATS_TLS@#$tls#" -e "s/@NATS_SCHEME@/$scheme/g" "$HERE/servers.conf"
  echo "}"
}

known=
look() { # true if there is a new configuration
  local gateways nats
  gateways=$(addresses gateway 8000)
  nats=$(addresses "${NATS_NAME:-nats}" 8443)
  if [ -z "$gateways" ] || [ -z "$nats" ] || [ "$gateways $nats" = "$known" ]; then return 1; fi
  known="$gateways $nats"
  render "$gateways" "$nats" >"$CONFIGURATION"
}

until look; do sleep 0.5; done
nginx -e stderr -c "$CONFIGURATION" -g "daemon off;" &
server=$!
trap 'kill -QUIT "$server"' TERM INT QUIT
while kill -0 "$server" 2>/dev/null; do
  sleep "$CHECK_INTERVAL_S" &
  wait -n "$server" $! || true
  if look; then kill -HUP "$server"; fi
done
wait "$server"
