#!/usr/bin/env bash
# Shows how many connections there are, and who is online: of all hosts, from the connection table and, for this host's
# broker, from its monitoring port.
#
#   deploy/ec2/connections.sh               counts by transport, server and organization
#   deploy/ec2/connections.sh --all         each connection too
#   deploy/ec2/connections.sh TENANT_ID     who is online in one organization
#
# Needs root and, as the services, access to DynamoDB.
set -euo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  -* ) [ "$1" = --all ] || { echo "connections.sh: unknown option $1" >&2; exit 2; } ;;
esac
set -a
# shellcheck source=/dev/null
. /etc/artcafe/artcafe.env
set +a
/opt/artcafe/artcafe-pubsub/.venv/bin/python - "${1:-}" <<'PYTHON'
import asyncio
import sys
from collections import Counter

from artcafe_common.settings import StoreSettings, load
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table import Table
from artcafe_presence.tables import CONNECTIONS


async def read_connections():
    settings = load(StoreSettings)
    async with Database(region=settings.aws_region, prefix=settings.table_prefix) as database:
        return await Table(database, CONNECTIONS).scan()


rows = asyncio.run(read_connections())
chosen = sys.argv[1]
if chosen not in ("", "--all"):
    rows = [row for row in rows if row.tenant_id == chosen]
online = {(row.tenant_id, row.client_id) for row in rows}
print(f"{len(rows)} connections, {len(online)} clients and agents online")
if chosen in ("", "--all"):
    for title, count in (
        ("transport", Counter(row.transport.value for row in rows)),
        ("server", Counter(row.server for row in rows)),
        ("organization", Counter(row.tenant_id for row in rows)),
    ):
        for value, number in count.most_common(20):
            print(f"{number:7} {title} {value}")
if chosen:
    for row in sorted(rows, key=lambda row: (row.tenant_id, row.client_id)):
        print(f"{row.tenant_id} {row.client_id} {row.transport.value} {row.server} {row.ip or '-'} {row.connected_at:%FT%TZ}")
PYTHON
monitor=$(curl --silent --max-time 3 http://127.0.0.1:8222/varz || true)
if [ -n "$monitor" ]; then
  sed -n 's/^ *"\(connections\|total_connections\|slow_consumers\|subscriptions\)": \([0-9]*\),*$/this host'"'"'s broker: \1 \2/p' <<<"$monitor"
fi
