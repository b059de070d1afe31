"""`artcafe upgrade --check`: whether this host can run the installed release."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from artcafe_common.cli.doctor import print_results
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AsJson


def upgrade(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Check this host; nothing is changed. Required.")
    ] = False,
    configuration: Annotated[
        Path, typer.Option(help="The directory of the services' own settings, NAME.env.")
    ] = Path("/etc/artcafe"),
    store: Annotated[
        list[Path] | None,
        typer.Option(help="Directories that need free space; repeatable. By default, those of an EC2 host."),
    ] = None,
    upgrades_follow: Annotated[
        bool,
        typer.Option(
            "--upgrades-follow",
            help="Of what a new nats-server and `artcafe bootstrap --renew` solve, only warn: they come next.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that this host can run this release: settings, keys, permissions, stores, broker, disk space.

    Run it with the new release, before its services are started; deploy/ec2/release.sh does so.
    """
    from artcafe_common.cli.operator_bus import log_errors_only
    from artcafe_common.cli.upgrade_checks import DEFAULT_STORES, run_checks

    if not check:
        raise Failure("pass --check; deploy/ec2/deploy.sh installs releases (docs/operate/upgrade.md)")
    log_errors_only()
    results = asyncio.run(
        run_checks(configuration, tuple(store or DEFAULT_STORES), upgrades_follow=upgrades_follow)
    )
    failed = print_results(results, as_json=as_json)
    if failed:
        raise Failure(f"{failed} of {len(results)} checks failed", ExitCode.UNAVAILABLE)
