"""`artcafe doctor`: what is wrong with an installation, and what mends it."""

import asyncio
from typing import TYPE_CHECKING

import typer

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import ApiUrl, AsJson

if TYPE_CHECKING:
    from artcafe_common.contracts.identity.accounts import AccountComparison
    from artcafe_common.contracts.tenancy.history import HistoryStreamsSynced

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(*, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Check everything that the service needs; runs where its settings and keys are."""
    from artcafe_common.cli.doctor_checks import Settings, examine
    from artcafe_common.cli.operator_bus import quiet
    from artcafe_common.cli.session import normal
    from artcafe_common.settings import load

    quiet()
    findings = asyncio.run(examine(load(Settings), normal(api) if api else None))
    counts = {status: sum(each.status == status for each in findings) for status in COLORS}
    if as_json:
        output.as_json({"status": _worst(counts), **counts, "checks": findings})
    else:
        for each in findings:
            typer.secho(f"{each.status:4}  ", fg=COLORS[each.status], nl=False)
            output.line(f"{each.check}: {each.detail}")
            if each.mend:
                output.line(f"      mend: {each.mend}")
    if counts["fail"]:
        raise Failure(f"{counts['fail']} of {len(findings)} checks failed", ExitCode.UNAVAILABLE)


def _worst(counts: dict[str, int]) -> str:
    return "fail" if counts["fail"] else "warn" if counts["warn"] else "ok"


def sync_accounts(*, as_json: AsJson = False) -> None:
    """Give the broker every organization's account that it lacks or holds in another version."""
    compared = asyncio.run(_push_accounts())
    if as_json:
        output.as_json(compared)
    else:
        output.line(f"{compared.differing} of {compared.known} accounts were given to the broker")


async def _push_accounts() -> "AccountComparison":
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.identity.accounts import CompareAccounts

    async with operator_bus() as bus:
        return await bus.call(CompareAccounts(push=True), caller=CallerContext.service("admin"))


def sync_streams(*, as_json: AsJson = False) -> None:
    """Update the streams of the channels' history to this release; once after an upgrade, safe to repeat."""
    pages = asyncio.run(_sync_history_streams())
    synced = sum(page.synced for page in pages)
    rejected = [tenant_id for page in pages for tenant_id in page.rejected]
    if as_json:
        output.as_json({"synced": synced, "rejected": rejected})
    else:
        output.line(f"{synced} history streams are up to date")
        for tenant_id in rejected:
            output.line(f"the broker rejected the history stream of {tenant_id}")
    if rejected:
        raise Failure(f"{len(rejected)} history streams are not up to date")


async def _sync_history_streams() -> "list[HistoryStreamsSynced]":
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.tenancy.history import SyncHistoryStreams

    pages: list[HistoryStreamsSynced] = []
    async with operator_bus() as bus:
        while not pages or pages[-1].next_cursor is not None:
            cursor = pages[-1].next_cursor if pages else None
            caller = CallerContext.service("admin")
            pages.append(await bus.call(SyncHistoryStreams(cursor=cursor), caller=caller))
    return pages
