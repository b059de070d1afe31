#!/usr/bin/env bash
# Writes nginx' configuration for the gateways behind it to standard output.
#
#   API_HOST=api.example.org WS_HOST=ws.example.org deploy/nginx/render.sh > nginx.conf
#
# Settings, from the environment:
#   API_HOST, WS_HOST         the names of the two hosts (required)
#   GATEWAYS                  addresses of gateways (127.0.0.1:8000)
#   TLS_CERTIFICATE, TLS_KEY  files (/etc/artcafe/tls/fullchain.pem, /etc/artcafe/tls/privkey.pem)
#   HTTP_PORT, HTTPS_PORT     ports to listen on (80, 443)
#   CORS_ORIGINS              origins of web pages that may call the API, such as https://console.example.org (none)
#   TRUSTED_PROXIES           networks of load balancers whose X-Forwarded-For is believed (none)
#   CONNECTIONS_PER_ADDRESS, REQUESTS_PER_SECOND, REQUESTS_BURST              of one address, for REST (100, 100, 400)
#   SOCKETS_PER_ADDRESS, HANDSHAKES_PER_SECOND, HANDSHAKES_BURST              for WebSocket (1000, 50, 500)
#   ACCESS_LOG, ERROR_LOG     as nginx understands them (both: the journal)
# Lists are separated by spaces or commas.
set -euo pipefail

case "${1:-}" in
  "") ;;
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  *) echo "render.sh: unknown argument $1; see --help" >&2; exit 2 ;;
esac
: "${API_HOST:?set API_HOST to the name of the REST host}" "${WS_HOST:?set WS_HOST to the name of the WebSocket host}"

fail() { echo "render.sh: $*" >&2; exit 2; }

# Checked, because they become part of a configuration file.
check() { # check NAME VALUE PATTERN
  [[ $2 =~ ^$3$ ]] || fail "$1 is not valid: $2"
}

words() { tr ',' ' ' <<<"$1"; }

for name in API_HOST WS_HOST; do check "$name" "${!name}" '[A-Za-z0-9.-]+'; done

gateways=
for address in $(words "${GATEWAYS:-127.0.0.1:8000}"); do
  check GATEWAYS "$address" '[A-Za-z0-9_.:-]+|\[[0-9A-Fa-f:]+\]:[0-9]+'
  gateways+="server $address max_fails=2 fail_timeout=2s; "
done
origins=
for origin in $(words "${CORS_ORIGINS:-}"); do
  check CORS_ORIGINS "$origin" 'https?://[A-Za-z0-9.-]+(:[0-9]+)?'
  origins+="\"$origin\" \$http_origin; "
done
real_ip=
for network in $(words "${TRUSTED_PROXIES:-}"); do
  check TRUSTED_PROXIES "$network" '[0-9A-Fa-f:.]+(/[0-9]+)?'
  real_ip+="set_real_ip_from $network; "
done

values=(
  "API_HOST=$API_HOST" "WS_HOST=$WS_HOST" "GATEWAYS=$gateways" "CORS_ORIGINS=$origins" "REAL_IP=$real_ip"
  "TLS_CERTIFICATE=${TLS_CERTIFICATE:-/etc/artcafe/tls/fullchain.pem}"
  "TLS_KEY=${TLS_KEY:-/etc/artcafe/tls/privkey.pem}"
  "HTTP_PORT=${HTTP_PORT:-80}" "HTTPS_PORT=${HTTPS_PORT:-443}"
  "CONNECTIONS_PER_ADDRESS=${CONNECTIONS_PER_ADDRESS:-100}"
  "REQUESTS_PER_SECOND=${REQUESTS_PER_SECOND:-100}" "REQUESTS_BURST=${REQUESTS_BURST:-400}"
  "SOCKETS_PER_ADDRESS=${SOCKETS_PER_ADDRESS:-1000}"
  "HANDSHAKES_PER_SECOND=${HANDSHAKES_PER_SECOND:-50}" "HANDSHAKES_BURST=${HANDSHAKES_BURST:-500}"
  "ACCESS_LOG=${ACCESS_LOG:-syslog:server=unix:/dev/log,nohostname,tag=nginx}"
  "ERROR_LOG=${ERROR_LOG:-syslog:server=unix:/dev/log,nohostname,tag=nginx}"
)
text=$(<"$(dirname "${BASH_SOURCE[0]}")/nginx.conf.template")
for value in "${values[@]}"; do
  check "${value%%=*}" "${value#*=}" $'[^\n@{}]*'
  text=${text//"@${value%%=*}@"/"${value#*=}"}
done
printf '%s\n' "$text"
