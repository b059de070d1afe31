#!/usr/bin/env bash
# Installs ArtCafe PubSub on this host (Debian 12 or Ubuntu, with systemd), or brings the installation into line with
# this source tree. Run it as root, as often as you like: a run that finds nothing to do says so.
#
#   sudo deploy/ec2/install.sh --api-host api.example.org --ws-host ws.example.org
#
# Options, of which the first run needs the two hosts:
#   --api-host NAME, --ws-host NAME   the names of the REST and the WebSocket host
#   --revision REVISION               the name of this release (default: git's, or a checksum of the tree)
#   --services "NAME …"               the services of this host (default: all five; "none" for servers alone)
#   --servers "NAME …"                the servers of this host (default: "nats redis nginx"; "none" for services alone)
#   --nats-host ADDRESS               the address that a new nats-server listens on (default: 127.0.0.1)
#   --nats-tls NAME                   TLS for every connection to this host's nats-server, services included, with the
#                                     certificate in /etc/artcafe/tls, which is also for this name
#   --create-tables                   create missing DynamoDB tables (the CloudFormation template does it otherwise)
#   --no-start                        install without starting anything
#
# Before the services can get ready: the user pool in /etc/artcafe/artcafe.env, and a certificate in /etc/artcafe/tls.
# Without a certificate one is made that no client trusts. See docs/operate/install.md.
set -euo pipefail
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/ec2/lib.sh
. "$SOURCE/deploy/ec2/lib.sh"

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

API_HOST='' WS_HOST='' REVISION='' NATS_HOST=127.0.0.1 NATS_TLS='' CREATE_TABLES=no START=yes
WANTED_SERVICES='' SERVERS='nats redis nginx'
while [ $# -gt 0 ]; do
  case $1 in
    --api-host | --ws-host | --revision | --services | --servers | --nats-host | --nats-tls)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --api-host) API_HOST=$2 ;;
        --ws-host) WS_HOST=$2 ;;
        --revision) REVISION=$2 ;;
        --services) WANTED_SERVICES=$2 ;;
        --servers) SERVERS=$2 ;;
        --nats-host) NATS_HOST=$2 ;;
        --nats-tls) NATS_TLS=$2 ;;
      esac
      shift 2 ;;
    --create-tables) CREATE_TABLES=yes; shift ;;
    --no-start) START=no; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown option $1" ;;
  esac
done
[ "$(id -u)" = 0 ] || fail "run this as root"
[ -d /run/systemd/system ] || fail "this host does not run systemd"
[ "$WANTED_SERVICES" != none ] || WANTED_SERVICES=' '
for service in $WANTED_SERVICES; do
  [[ " ${SERVICES[*]} " == *" $service "* ]] || fail "unknown service $service"
done

serves() { [[ " $SERVERS " == *" $1 "* ]]; }

install_system_packages() {
  local missing=() package
  for package in python3-venv curl openssl $(serves nginx && echo nginx-light) $(serves redis && echo redis-server); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  # Any nginx will do.
  if command -v nginx >/dev/null; then missing=("${missing[@]/#nginx-light/}"); fi
  read -ra missing <<<"${missing[*]}"
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
  changed "packages: ${missing[*]}"
}

name_revision() {
  if [ -n "$REVISION" ]; then
    echo "$REVISION"
  elif [ -f "$SOURCE/revision.env" ]; then
    sed -n 's/^ARTCAFE_REVISION=//p' "$SOURCE/revision.env"
  elif command -v git >/dev/null && [ -z "$(git -C "$SOURCE" status --porcelain 2>/dev/null || echo no)" ]; then
    git -C "$SOURCE" rev-parse --short=12 HEAD
  else
    (cd "$SOURCE" && find deploy libs services requirements-server.lock -type f -not -path '*/__pycache__/*' -print0 |
      sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
  fi
}

write_settings() {
  if [ ! -f "$CONFIGURATION/artcafe.env" ]; then
    # Readable for `ubuntu`; secrets belong in files that `…_FILE` settings name, or in the keys directory.
    install -m 0640 -o root -g ubuntu "$SOURCE/deploy/ec2/artcafe.env.example" "$CONFIGURATION/artcafe.env"
    [ -z "$WS_HOST" ] || sed -i "s|^#\(ARTCAFE_PUBLIC_WEBSOCKET_URL\)=.*|\1=wss://$WS_HOST|" "$CONFIGURATION/artcafe.env"
    changed "$CONFIGURATION/artcafe.env (fill it in)"
  fi
  serves nginx || return 0
  if [ ! -f "$CONFIGURATION/nginx.env" ]; then
    if [ -z "$API_HOST" ] || [ -z "$WS_HOST" ]; then fail "the first run needs --api-host and --ws-host"; fi
    printf '%s\n' "# Settings of nginx: see deploy/nginx/render.sh." "API_HOST=$API_HOST" "WS_HOST=$WS_HOST" \
      "#CORS_ORIGINS=https://console.example.org" "#TRUSTED_PROXIES=10.0.0.0/16" >"$CONFIGURATION/nginx.env"
    changed "$CONFIGURATION/nginx.env"
  fi
  if [ ! -f "$CONFIGURATION/tls/fullchain.pem" ]; then
    # shellcheck source=/dev/null
    (. "$CONFIGURATION/nginx.env" && openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$API_HOST" \
      -addext "subjectAltName=DNS:$API_HOST,DNS:$WS_HOST" \
      -keyout "$CONFIGURATION/tls/privkey.pem" -out "$CONFIGURATION/tls/fullchain.pem" 2>/dev/null)
    chmod 0600 "$CONFIGURATION/tls/privkey.pem"
    changed "$CONFIGURATION/tls (a certificate for 30 days that no client trusts: replace it)"
  fi
}

create_keys() {
  if [ -f "$KEYS/platform.json" ]; then
    renew_keys "$CURRENT" || fail "$KEYS cannot be renewed"
    return 0
  fi
  if ! serves nats; then
    [ -n "$(ls -A "$KEYS")" ] || say "copy this host's files of the keys directory to $KEYS (docs/operate/install.md)" >&2
    return 0
  fi
  "$CURRENT/.venv/bin/artcafe" bootstrap "$KEYS" --host "$NATS_HOST" --store /var/lib/nats >/dev/null
  changed "$KEYS (keep a copy of it offline)"
}

# Adds TLS to nats-server.conf, whose other lines stay as they are, and gives the server copies of the certificate. It is
# required then: some libraries do not use it where it is only offered.
enable_nats_tls() {
  local drop_in=nats-server.service.d/tls.conf credentials=/run/credentials/nats-server.service
  [ -n "$NATS_TLS" ] || return 0
  put "$CURRENT/deploy/ec2/nats-tls.conf" "$UNITS/$drop_in" 0644
  systemctl daemon-reload
  if ! grep -q '^tls ' "$KEYS/nats-server.conf"; then
    sed -i "/^websocket /i tls { cert_file: \"$credentials/fullchain.pem\", key_file: \"$credentials/privkey.pem\", timeout: 5 }" \
      "$KEYS/nats-server.conf"
    changed "$KEYS/nats-server.conf has TLS"
  fi
  if ! grep -qw "$NATS_TLS" /etc/hosts; then
    printf '127.0.0.1 %s\n' "$NATS_TLS" >>/etc/hosts
    changed "/etc/hosts: $NATS_TLS is this host"
  fi
  if [ "$(setting NATS_URL)" != "tls://$NATS_TLS:4222" ]; then
    sed -i '/^NATS_URL=/d' "$CONFIGURATION/artcafe.env"
    echo "NATS_URL=tls://$NATS_TLS:4222" >>"$CONFIGURATION/artcafe.env"
    changed "$CONFIGURATION/artcafe.env: NATS_URL"
  fi
}

# Backups are made on the host that has all keys, once it is known for whom they are to be encrypted.
enable_backups() {
  [ -f "$KEYS/platform.json" ] || return 0
  if ! grep -qE '^ARTCAFE_BACKUP_(RECIPIENT|PASSPHRASE_FILE)=.' "$CONFIGURATION/artcafe.env"; then
    say "no backups are made yet: set ARTCAFE_BACKUP_RECIPIENT in $CONFIGURATION/artcafe.env and run this again"
    return 0
  fi
  enable artcafe-backup.timer
  [ "$START" != yes ] || ensure_running artcafe-backup.timer
}

# enable UNIT…: at boot.
enable() {
  local unit
  for unit in "$@"; do
    systemctl is-enabled --quiet "$unit" 2>/dev/null && continue
    systemctl enable --quiet "$unit"
    changed "$unit is enabled"
  done
}

# ensure_running UNIT STAMP…: starts a unit, and restarts it when files that it read at its start have changed.
ensure_running() {
  local unit=$1 started stamp
  shift
  if ! systemctl is-active --quiet "$unit"; then
    systemctl start --no-block "$unit"
    changed "$unit is started"
    return 0
  fi
  started=$(date -d "$(systemctl show -P ActiveEnterTimestamp "$unit")" +%s)
  for stamp in "$@"; do
    if [ ! -e "$stamp" ] || [ "$(stat -c %Y "$stamp")" -le "$started" ]; then continue; fi
    systemctl restart --no-block "$unit"
    changed "$unit is restarted, as $stamp has changed"
    return 0
  done
}

install_system_packages
id ubuntu >/dev/null 2>&1 || { useradd --create-home --shell /bin/bash ubuntu; changed "user ubuntu"; }
make_directory "$PREFIX" 0755
make_directory "$RELEASES" 0755
make_directory "$ENVIRONMENTS" 0755
make_directory "$CONFIGURATION" 0755
make_directory "$KEYS" 0700
make_directory "$CONFIGURATION/tls" 0700
REVISION=$(name_revision)
build_release "$SOURCE" "$REVISION"
switch_to "$REVISION"
! serves nats || install_nats_server "$SOURCE"
write_settings
create_keys
install_host_files "$CURRENT"
! serves nats || enable_nats_tls

! serves nats || enable nats-server.service
! serves redis || enable redis-server.service
! serves nginx || enable nginx.service
enable artcafe.target
if [ -n "$WANTED_SERVICES" ]; then
  for service in $WANTED_SERVICES; do enable "artcafe@$service.service"; done
elif [ -z "$(enabled_services)" ]; then
  for service in "${SERVICES[@]}"; do enable "artcafe@$service.service"; done
fi

enable_backups

if [ "$CREATE_TABLES" = yes ]; then
  created=$(/usr/local/bin/artcafe tables create)
  [ -z "$created" ] || changed "tables: $(wc -l <<<"$created") created"
fi

if [ "$START" = yes ]; then
  if serves nats; then
    stamps=("$KEYS/nats-server.conf" "$NATS_SERVER/version" "$UNITS/nats-server.service")
    if [ -f "$UNITS/nats-server.service.d/tls.conf" ]; then
      stamps+=("$UNITS/nats-server.service.d/tls.conf" "$CONFIGURATION/tls/fullchain.pem")
    fi
    ensure_running nats-server.service "${stamps[@]}"
  fi
  ! serves redis || ensure_running redis-server.service /etc/redis/artcafe.conf "$UNITS/redis-server.service.d/artcafe.conf"
  if serves nginx; then
    ensure_running nginx.service "$UNITS/nginx.service.d/artcafe.conf" /etc/nginx/artcafe.conf "$CONFIGURATION/tls/fullchain.pem"
  fi
  mapfile -t services < <(enabled_services)
  for service in "${services[@]}"; do
    ensure_running "artcafe@$service.service" "$CONFIGURATION/artcafe.env" "$CONFIGURATION/$service.env" \
      "$RELEASES/$REVISION/revision.env" "$UNITS/artcafe@.service" "$UNITS/artcafe@$service.service.d/credentials.conf" "$KEYS/$service.creds"
  done
  ensure_running artcafe.target
  wait_until_ready "$REVISION" "${services[@]}" || fail "some services are not ready; their status says what they wait for"
fi

if [ "$CHANGES" = 0 ]; then
  say "revision $REVISION is installed; nothing to change"
else
  say "revision $REVISION is installed; $CHANGES changes"
fi
