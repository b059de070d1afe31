"""`artcafe watch`: what happens in an organization, as it happens."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.async_runner import run
from artcafe_common.cli.exit_codes import Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson

if TYPE_CHECKING:
    from artcafe_common.cli.dashboard_feed import DashboardFeed
    from artcafe_common.cli.line_printer import LinePrinter


class Kind(StrEnum):
    """What is shown."""

    PRESENCE = "presence"
    ACTIVITY = "activity"
    MESSAGES = "messages"


_KINDS = {
    "presence": Kind.PRESENCE,
    "activity": Kind.ACTIVITY,
    "topic_preview_message": Kind.MESSAGES,
}


def watch(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Show messages on the subjects of this pattern.")
    ] = ">",
    only: Annotated[
        list[Kind] | None, typer.Option("--only", help="Show this kind only; may be repeated.")
    ] = None,
    sample: Annotated[float, typer.Option(min=0.001, max=1, help="The part of the messages to show.")] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="Exit after N lines; 0 means no limit.")] = 0,
    timeout: Annotated[float, typer.Option(min=0, help="Exit after N seconds; 0 means no limit.")] = 0,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show clients that go online and offline, activity and messages as they happen, until Ctrl-C."""
    from artcafe_common.cli.dashboard_feed import DashboardFeed
    from artcafe_common.cli.line_printer import LinePrinter
    from artcafe_common.cli.user_commands import open_api

    kinds = only or list(Kind)
    with open_api(api, account) as client:
        feed = DashboardFeed(client, pattern if Kind.MESSAGES in kinds else "", sample)
        run(_show(feed, kinds, LinePrinter(count, as_json=as_json), count, timeout))


async def _show(
    feed: "DashboardFeed", kinds: Sequence[Kind], printer: "LinePrinter", count: int, timeout_s: float
) -> None:
    from artcafe_common.cli.line_printer import StopPrinting

    tenant_id = ""
    try:
        async with asyncio.timeout(timeout_s or None):
            with suppress(StopPrinting):
                async for frame in feed.frames():
                    if frame["type"] == "welcome":
                        tenant_id = frame["tenant_id"]
                    kind = _KINDS.get(frame["type"])
                    if dropped := frame.get("dropped"):
                        output.print_notice(f"{dropped} messages are not shown: they came too fast")
                    if kind in kinds:
                        printer.print(frame, _format(frame, tenant_id))
    except TimeoutError:
        if count:
            raise Failure(f"saw {printer.printed} of {count} lines in {timeout_s:g} s") from None


def _format(frame: dict[str, Any], tenant_id: str) -> str:
    if frame["type"] == "presence":
        named = frame["client_id"] if frame["name"] is None else f"{frame['name']} ({frame['client_id']})"
        return f"[{frame['last_seen']}] presence {named} {frame['status']}, {frame['health']}"
    if frame["type"] == "activity":
        entry = frame["activity"]
        actor = entry.get("actor_name") or entry.get("actor")
        texts = (entry["action"], entry["status"], f"of {entry.get('resource')}", f"by {actor}")
        return f"[{entry['timestamp']}] activity {' '.join(texts)}"
    from artcafe_client.names import bare_name
    from artcafe_common.cli.message_printer import format_message

    subject = bare_name(tenant_id, frame["subject"])
    return format_message(frame["timestamp"], subject, frame.get("from"), frame["data"])
