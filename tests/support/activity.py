"""Reads and builds entries of the activity log."""

from artcafe_common.clock import new_id, now
from artcafe_common.contracts.tenancy.activity import Activity, ActivityType
from artcafe_common.dev.stack import REGION
from artcafe_common.storage.dynamo import Database
from support.waiting import eventually


async def list_entries(tenant, **query):
    """All pages of the activity log; by default of the last 24 hours."""
    entries, cursor = [], None
    while True:
        page = await tenant.call(
            "GET", "/activity/logs", 200, params={**query, **({"cursor": cursor} if cursor else {})}
        )
        entries += page["logs"]
        cursor = page["next_cursor"]
        if cursor is None:
            return entries


async def list_actions(tenant, **query):
    """The actions of all pages of the activity log."""
    return [entry["action"] for entry in await list_entries(tenant, **query)]


async def wait_for_entries(tenant, count, **fields):
    """Wait until `count` entries match the fields; fails if there are more."""

    async def find():
        found = [e for e in await list_entries(tenant) if all(e[k] == v for k, v in fields.items())]
        return found if len(found) >= count else None

    entries = await eventually(find)
    assert len(entries) == count, entries
    return entries


def build_entry(timestamp=None, **fields):
    return Activity(
        **{
            "activity_id": new_id(),
            "type": ActivityType.QUOTA,
            "action": "quota.crossed",
            "actor": "service:metering",
            "resource": "account:x",
            "timestamp": timestamp or now(),
            **fields,
        }
    )


def open_database(stack):
    return Database(region=REGION, prefix="artcafe-", environ=stack.environ())
