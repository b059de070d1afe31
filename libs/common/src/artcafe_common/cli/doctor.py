"""`artcafe doctor`: diagnose an installation, and `artcafe sync-accounts`."""

import asyncio
from typing import TYPE_CHECKING

import typer

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import ApiUrl, AsJson

if TYPE_CHECKING:
    from artcafe_common.cli.doctor_results import CheckResult
    from artcafe_common.contracts.identity.accounts import AccountComparison
    from artcafe_common.contracts.tenancy.history import HistorySyncResult

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(*, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Check the installation's servers, stores and services; needs the services' settings and keys."""
    from artcafe_common.cli.doctor_checks import Settings, run_checks
    from artcafe_common.cli.operator_bus import log_errors_only
    from artcafe_common.cli.session import normalize_api_url
    from artcafe_common.settings import load

    log_errors_only()
    results = asyncio.run(run_checks(load(Settings), normalize_api_url(api) if api else None))
    failed = print_results(results, as_json=as_json)
    if failed:
        raise Failure(f"{failed} of {len(results)} checks failed", ExitCode.UNAVAILABLE)


def print_results(results: "list[CheckResult]", *, as_json: bool) -> int:
    """Print the results of checks; returns how many failed."""
    counts = {status: sum(result.status == status for result in results) for status in COLORS}
    if as_json:
        output.print_json({"status": _overall_status(counts), **counts, "checks": results})
    else:
        for result in results:
            typer.secho(f"{result.status:4}  ", fg=COLORS[result.status], nl=False)
            output.print_line(f"{result.check}: {result.detail}")
            if result.remedy:
                output.print_line(f"      remedy: {result.remedy}")
    return counts["fail"]


def _overall_status(counts: dict[str, int]) -> str:
    return "fail" if counts["fail"] else "warn" if counts["warn"] else "ok"


def sync_accounts(*, as_json: AsJson = False) -> None:
    """Push the organizations' accounts that the broker lacks or has in another version."""
    comparison = asyncio.run(_push_accounts())
    if as_json:
        output.print_json(comparison)
    else:
        output.print_line(f"pushed {comparison.differing} of {comparison.known} accounts to the broker")


async def _push_accounts() -> "AccountComparison":
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.identity.accounts import CompareAccounts

    async with operator_bus() as bus:
        return await bus.call(CompareAccounts(push=True), caller=CallerContext.service("admin"))


def sync_streams(*, as_json: AsJson = False) -> None:
    """Reconfigure and move the streams of channels and subjects after an upgrade; safe to repeat."""
    pages = asyncio.run(_sync_history_streams())
    synced = sum(page.synced for page in pages)
    rejected = [tenant_id for page in pages for tenant_id in page.rejected]
    if as_json:
        output.print_json({"synced": synced, "rejected": rejected})
    else:
        output.print_line(f"{synced} streams are up to date")
        for tenant_id in rejected:
            output.print_line(f"the broker rejected a stream of {tenant_id}")
    if rejected:
        raise Failure(f"the streams of {len(rejected)} organizations are not up to date")


async def _sync_history_streams() -> "list[HistorySyncResult]":
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.tenancy.history import SyncHistoryStreams

    pages: list[HistorySyncResult] = []
    async with operator_bus() as bus:
        while not pages or pages[-1].next_cursor is not None:
            cursor = pages[-1].next_cursor if pages else None
            caller = CallerContext.service("admin")
            pages.append(await bus.call(SyncHistoryStreams(cursor=cursor), caller=caller))
    return pages
