"""`artcafe keys rotate operator`: replaces the key that signs all accounts, while the broker runs."""

import asyncio
import time

from artcafe_common.broker.system_account import list_operators
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import DeadlineExceeded, ServiceUnavailable
from artcafe_common.bus.request_many import request_many
from artcafe_common.cli import output
from artcafe_common.cli.account_updates import push_accounts, system_account
from artcafe_common.cli.command_runner import run_then
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.operator_bus import operator_bus
from artcafe_common.contracts.identity.accounts import (
    CompareAccounts,
    OperatorKeyReport,
    OperatorKeyRequested,
)
from artcafe_common.installation import operator_rotation
from artcafe_common.installation.operator_keys import OPERATOR_FILE, trusted_keys
from artcafe_common.settings import StoreSettings

# How long identities on other hosts may take to get the new key, and how often they are asked.
WAIT_S = 900.0
ASK_INTERVAL_S = 2.0
REPLY_TIMEOUT_S = 2.0
QUIET_S = 0.5


async def rotate_operator_key(settings: StoreSettings, then: str) -> None:
    """Sign every account with the reserve key. Raises Failure, ServiceUnavailable; repeatable after both."""
    keys = operator_rotation.read_keys(settings.keys_dir)
    if keys.in_progress:
        output.print_line("continuing the rotation that is in progress")
    await _require_trust(settings, keys.current if keys.in_progress else keys.reserve)
    jwts = operator_rotation.begin(settings.keys_dir)
    await push_accounts(settings, jwts)
    current = operator_rotation.read_keys(settings.keys_dir).current
    output.print_line(f"{OPERATOR_FILE} is the new key; identity signs the accounts again")
    await run_then(then)
    async with operator_bus() as bus:
        await _wait_for_identities(bus, current)
        signed = await _sign_accounts(bus)
    output.print_line(f"signed {signed} accounts of organizations and {len(jwts)} of the platform")
    output.print_line("the old key is trusted until `artcafe keys rotate operator --finish`")


async def finish_rotation(settings: StoreSettings) -> None:
    """Have the old key no longer trusted once nats-server restarts. Raises Failure, ServiceUnavailable."""
    keys = operator_rotation.read_keys(settings.keys_dir)
    await _require_trust(settings, keys.current)
    async with operator_bus() as bus:
        if outdated := await _outdated_identities(bus, keys.current):
            raise Failure(
                f"identity on {', '.join(outdated)} signs with another key; copy {OPERATOR_FILE} to it"
            )
        compared = await bus.call(CompareAccounts(), caller=CallerContext.service("admin"))
    if compared.differing:
        raise Failure(f"{compared.differing} accounts are not signed again yet; run it again")
    operator_rotation.finish(settings.keys_dir)
    output.print_line("restart nats-server with the new nats-server.conf; it trusts the old key no more")


async def _require_trust(settings: StoreSettings, key: str) -> None:
    """A server accepts accounts that it does not trust, and refuses their clients afterwards."""
    async with system_account(settings) as system:
        operators = await list_operators(system)
    distrusting = [
        name for name, jwts in operators.items() if not any(key in trusted_keys(jwt) for jwt in jwts)
    ]
    if distrusting:
        raise Failure(
            f"nats-server on {', '.join(distrusting)} does not know the new key yet: "
            f"`artcafe bootstrap {settings.keys_dir} --renew` if never done, then restart it with the new nats-server.conf"
        )


async def _wait_for_identities(bus: Bus, key: str) -> None:
    deadline, printed = time.monotonic() + WAIT_S, list[str]()
    # On this host, identity reads the file within 2 seconds.
    await asyncio.sleep(ASK_INTERVAL_S)
    while outdated := await _outdated_identities(bus, key):
        if outdated != printed:
            output.print_line(f"waiting for identity on {', '.join(outdated)}: copy {OPERATOR_FILE} to it")
            printed = outdated
        if time.monotonic() > deadline:
            raise Failure("not every identity has the new key; run the command again", ExitCode.UNAVAILABLE)
        await asyncio.sleep(ASK_INTERVAL_S)


async def _outdated_identities(bus: Bus, key: str) -> list[str]:
    """The hosts of identities that sign with another key. Raises ServiceUnavailable if none answers."""
    reports = await request_many(
        bus,
        OperatorKeyRequested(),
        OperatorKeyReport,
        expected=bool,
        quiet_s=QUIET_S,
        within_s=REPLY_TIMEOUT_S,
    )
    if not reports:
        raise ServiceUnavailable("no identity answers; run the command again")
    return sorted({report.server_id for report in reports if report.operator != key})


async def _sign_accounts(bus: Bus) -> int:
    """Have identity sign and push every account; returns how many there are."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            compared = await bus.call(CompareAccounts(push=True), caller=CallerContext.service("admin"))
            if not compared.differing:
                return compared.known
            output.print_line(f"signed {compared.differing} of {compared.known} accounts again")
        except (DeadlineExceeded, ServiceUnavailable):
            # With very many accounts, one call is too short; what was signed stays so.
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(ASK_INTERVAL_S)
