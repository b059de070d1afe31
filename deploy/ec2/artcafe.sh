#!/usr/bin/env bash
# The operator's command line with this host's settings and keys. Needs root, since keys are root's.
set -euo pipefail
set -a
# shellcheck source=/dev/null
[ ! -r /etc/artcafe/artcafe.env ] || . /etc/artcafe/artcafe.env
set +a
export ARTCAFE_KEYS_DIR="${ARTCAFE_KEYS_DIR:-/etc/artcafe/keys}"
export ARTCAFE_BACKUP_DIR="${ARTCAFE_BACKUP_DIR:-/var/lib/artcafe-backup}"
exec "${ARTCAFE_RELEASE:-/opt/artcafe/artcafe-pubsub}/.venv/bin/artcafe" "$@"
