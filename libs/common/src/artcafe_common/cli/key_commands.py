"""`artcafe keys`: replaces keys while the services run."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from artcafe_common.cli import output
from artcafe_common.cli.command_runner import run_then
from artcafe_common.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from pathlib import Path

    from artcafe_common.installation.secret_rotation import Rotation
    from artcafe_common.settings import StoreSettings

keys = typer.Typer(no_args_is_help=True, help="The keys of the installation.")
SECRETS = ("cursors", "idempotency", "agent-tokens", "sealing")
# Every instance has read the new file by then.
PICKED_UP_S = 5
CREDENTIALS_OVERLAP_S = 60


@keys.command(name="rotate")
def rotate(
    what: Annotated[str, typer.Argument(help=f"{', '.join(SECRETS)}, operator or service.")],
    name: Annotated[str, typer.Argument(help="The service, with `service`.")] = "",
    *,
    start_in: Annotated[
        int,
        typer.Option(min=PICKED_UP_S, help="Seconds until the new key is used; every host has it by then."),
    ] = 60,
    overlap: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seconds in which the old key is accepted after that; by default as needed."
        ),
    ] = None,
    then: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="Run this when the new files are written: what copies them, or restarts the services that read copies.",
        ),
    ] = "",
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            help="With `operator`: let nats-server trust the old key no more, once it is restarted.",
        ),
    ] = False,
) -> None:
    """Replace a key in ARTCAFE_KEYS_DIR; old and new are accepted together for a time."""
    from artcafe_common.cli.operator_bus import log_errors_only
    from artcafe_common.installation import secret_rotation
    from artcafe_common.settings import StoreSettings, load

    log_errors_only()
    settings = load(StoreSettings)
    directory = settings.keys_dir
    if what == "service":
        seconds = CREDENTIALS_OVERLAP_S if overlap is None else overlap
        asyncio.run(_rotate_credentials(settings, name, seconds, then))
        return
    if what == "operator" and not name:
        from artcafe_common.cli.operator_key_rotation import finish_rotation, rotate_operator_key

        if finish:
            asyncio.run(finish_rotation(settings))
        else:
            asyncio.run(rotate_operator_key(settings, then))
        return
    if what not in SECRETS or name or finish:
        raise Failure(
            f"{what} is no key; the keys are {', '.join(SECRETS)}, operator, service NAME", ExitCode.USAGE
        )
    secret = secret_rotation.Secret(what)
    if secret is secret_rotation.Secret.SEALING:
        if overlap is not None:
            raise Failure(
                "the old sealing key is accepted until nothing is encrypted with it", ExitCode.USAGE
            )
        asyncio.run(_rotate_sealing_key(directory, start_in, then))
        return
    overlap_s = secret_rotation.OVERLAPS_S[secret] if overlap is None else overlap
    try:
        rotation = secret_rotation.begin(directory, secret, start_in_s=start_in, overlap_s=overlap_s)
    except secret_rotation.RotationInProgress as error:
        raise Failure(str(error)) from None
    _report(rotation)
    output.print_line(f"the old one is accepted until {_format(rotation.ends_at)}")
    asyncio.run(run_then(then))


async def _rotate_credentials(settings: "StoreSettings", service: str, overlap_s: int, then: str) -> None:
    from artcafe_common.cli.account_updates import push_accounts
    from artcafe_common.installation import credential_rotation
    from artcafe_common.installation.permissions import SERVICES

    if service not in SERVICES:
        raise Failure(f"say which service: {', '.join(SERVICES)}", ExitCode.USAGE)
    directory = settings.keys_dir
    # With the credentials of before: the broker accepts them until it has the accounts.
    if credential_rotation.pending_users(directory, service):
        output.print_line("continuing the rotation that was interrupted")
    else:
        jwts, files = credential_rotation.begin(directory, service)
        await push_accounts(settings, jwts)
        credential_rotation.write_files(directory, files)
        output.print_line(f"wrote {', '.join(files)}; the old credentials are revoked in {overlap_s} s")
    await run_then(then)
    await asyncio.sleep(overlap_s)
    await push_accounts(settings, credential_rotation.finish(directory, service))
    credential_rotation.forget(directory, service)
    output.print_line(f"revoked the old credentials of {service}")


async def _rotate_sealing_key(directory: "Path", start_in: int, then: str) -> None:
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.identity.accounts import SealSeeds
    from artcafe_common.installation import secret_rotation

    async with operator_bus() as bus:
        rotation = secret_rotation.pending_seal(directory)
        if rotation is None:
            rotation = secret_rotation.begin(
                directory, secret_rotation.Secret.SEALING, start_in_s=start_in, overlap_s=None
            )
        else:
            output.print_line("continuing the rotation that was interrupted")
        _report(rotation)
        await run_then(then)
        await asyncio.sleep(max(0, rotation.starts_at - time.time()) + 1)
        encrypted, remaining = 0, 1
        while remaining:
            sealed = await bus.call(SealSeeds(), caller=CallerContext.service("admin"))
            encrypted, remaining = encrypted + sealed.encrypted, sealed.remaining
            output.print_line(f"encrypted {encrypted} accounts with the new key, {remaining} remain")
            if remaining and not sealed.encrypted:
                await asyncio.sleep(1)
    secret_rotation.finish_seal(directory)
    output.print_line(f"removed the old key from {rotation.file}")


def _report(rotation: "Rotation") -> None:
    output.print_line(f"{rotation.file} has a new key, which is used from {_format(rotation.starts_at)} on")


def _format(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
