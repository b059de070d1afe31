"""`artcafe`: the command line for users and operators.

Commands import their dependencies when they run, so that help and completion stay fast.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from artcafe_common.cli import client_commands, completion, doctor, pubsub, user_commands
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status
from artcafe_common.cli.output import print_notice
from artcafe_common.plans import Plan

if TYPE_CHECKING:
    from artcafe_common.contracts.tenancy.accounts import Account

FOR_USERS = "For users"
FOR_OPERATORS = "For operators"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
tables = typer.Typer(no_args_is_help=True, help="The DynamoDB tables.")
plan = typer.Typer(no_args_is_help=True, help="The plans of organizations.")
app.command(rich_help_panel=FOR_USERS)(user_commands.login)
app.command(rich_help_panel=FOR_USERS)(user_commands.logout)
app.add_typer(user_commands.accounts, name="accounts", rich_help_panel=FOR_USERS)
app.add_typer(client_commands.clients, name="clients", rich_help_panel=FOR_USERS)
app.add_typer(user_commands.channels, name="channels", rich_help_panel=FOR_USERS)
app.command(rich_help_panel=FOR_USERS)(pubsub.pub)
app.command(rich_help_panel=FOR_USERS)(pubsub.sub)
app.command(rich_help_panel=FOR_USERS)(user_commands.status)
app.command(rich_help_panel=FOR_USERS)(user_commands.usage)
app.command(rich_help_panel=FOR_USERS)(user_commands.activity)
app.command(rich_help_panel=FOR_USERS)(completion.completion)
app.command(rich_help_panel=FOR_OPERATORS)(doctor.doctor)
app.command(name="sync-accounts", rich_help_panel=FOR_OPERATORS)(doctor.sync_accounts)
app.command(name="sync-streams", rich_help_panel=FOR_OPERATORS)(doctor.sync_streams)
app.add_typer(tables, name="tables", rich_help_panel=FOR_OPERATORS)
app.add_typer(plan, name="plan", rich_help_panel=FOR_OPERATORS)


@app.command(name="bootstrap", rich_help_panel=FOR_OPERATORS)
def bootstrap_command(
    directory: Annotated[Path, typer.Argument(help="The directory for keys and configuration.")],
    host: Annotated[str, typer.Option(help="The address that nats-server listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The client port.")] = 4222,
    websocket_port: Annotated[int, typer.Option(help="The WebSocket port.")] = 8443,
    store: Annotated[Path, typer.Option(help="The directory for streams and accounts.")] = Path(
        "/var/lib/nats"
    ),
    server_name: Annotated[str, typer.Option(help="The server's name in a cluster.")] = "nats-1",
    *,
    configuration_only: Annotated[
        bool, typer.Option(help="Keep the keys and rewrite nats-server.conf.")
    ] = False,
) -> None:
    """Create the operator, its accounts, the services' credentials and nats-server.conf."""
    from artcafe_common.installation.bootstrap import bootstrap
    from artcafe_common.installation.nats_server import NatsServerConfig, write_server_configuration

    config = NatsServerConfig(
        host=host, port=port, websocket_port=websocket_port, store=store, server_name=server_name
    )
    try:
        if configuration_only:
            write_server_configuration(directory, config)
        else:
            bootstrap(directory, config)
    except FileExistsError as error:
        sys.exit(f"artcafe bootstrap: {error}")
    typer.echo(f"start the broker with: nats-server -c {directory / 'nats-server.conf'}")


@tables.command(name="create")
def create_command() -> None:
    """Create the missing tables."""
    from artcafe_common.cli.operator_bus import log_errors_only
    from artcafe_common.settings import StoreSettings, load
    from artcafe_common.storage.create import create_tables

    log_errors_only()
    settings = load(StoreSettings)
    for name in asyncio.run(create_tables(region=settings.aws_region, prefix=settings.table_prefix)):
        typer.echo(f"created {name}")


@plan.command(name="set")
def set_plan(tenant_id: str, plan: Plan) -> None:
    """Change an organization's plan; the broker's limits change at once."""
    account = asyncio.run(_change_plan(tenant_id, plan))
    typer.echo(f"changed the plan of {account.account_id} to {account.plan}")


async def _change_plan(tenant_id: str, plan: Plan) -> "Account":
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.tenancy.accounts import ChangePlan

    async with operator_bus() as bus:
        return await bus.call(
            ChangePlan(tenant_id=tenant_id, plan=plan), caller=CallerContext.service("admin")
        )


@app.command(name="migrate-agents", rich_help_panel=FOR_OPERATORS)
def migrate_agents(
    tenant_id: str,
    seeds: Annotated[Path, typer.Option(help="The file for the new seeds, one JSON object per line.")] = Path(
        "seeds.jsonl"
    ),
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Migrate; without it, the agents are only listed.")
    ] = False,
) -> None:
    """Convert an organization's agents to clients with the same ids; their connections are closed."""
    from artcafe_common.cli.migration import migrate

    if not asyncio.run(migrate(tenant_id, seeds if apply else None, typer.echo)):
        sys.exit("artcafe: some agents were not migrated")


@app.command(rich_help_panel=FOR_OPERATORS)
def dev(
    directory: Annotated[
        Path, typer.Option(envvar="ARTCAFE_DEV_DIR", help="The directory for its files.")
    ] = Path(".dev"),
    port_base: Annotated[
        int,
        typer.Option(envvar="ARTCAFE_DEV_PORT_BASE", min=1024, max=65530, help="The first of six ports."),
    ] = 8000,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    # Needs packages of the extra `dev`, which servers do not install.
    from artcafe_common.cli.operator_bus import log_errors_only
    from artcafe_common.dev.command import run

    log_errors_only()
    asyncio.run(run(directory, port_base))


def main() -> None:
    """The `artcafe` command."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        app(prog_name="artcafe")
    except Failure as error:
        _exit_with(error.line, error.exit_code)
    except Exception as error:
        # Imported here, because only commands that need the bus or the settings raise these.
        from artcafe_common.bus.errors import CommandError
        from artcafe_common.settings import SettingsError

        if isinstance(error, CommandError):
            _exit_with(f"{error.detail} ({error.code})", exit_code_for_status(error.status))
        if isinstance(error, SettingsError | OSError):
            _exit_with(str(error), ExitCode.FAILED)
        raise


def _exit_with(line: str, code: ExitCode) -> NoReturn:
    print_notice(f"artcafe: {line}")
    sys.exit(code)


if __name__ == "__main__":
    main()
