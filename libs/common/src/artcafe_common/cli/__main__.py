"""`artcafe`: the commands of users and of operators.

A command imports what it needs when it runs: help and completion read only this.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from artcafe_common.cli import client_commands, completion, doctor, pubsub, user_commands
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_for
from artcafe_common.cli.output import say
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
    directory: Annotated[Path, typer.Argument(help="Where to write keys and configuration.")],
    host: Annotated[str, typer.Option(help="The address that nats-server listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its client port.")] = 4222,
    websocket_port: Annotated[int, typer.Option(help="Its WebSocket port.")] = 8443,
    store: Annotated[Path, typer.Option(help="Its directory for streams and accounts.")] = Path(
        "/var/lib/nats"
    ),
    server_name: Annotated[str, typer.Option(help="Its name in a cluster.")] = "nats-1",
    *,
    configuration_only: Annotated[
        bool, typer.Option(help="Keep the keys, write nats-server.conf anew.")
    ] = False,
) -> None:
    """Make the operator, the accounts, every service's credentials and nats-server.conf."""
    from artcafe_common.installation.bootstrap import bootstrap
    from artcafe_common.installation.nats_server import NatsServerConfig, write_server_configuration

    listen = NatsServerConfig(
        host=host, port=port, websocket_port=websocket_port, store=store, server_name=server_name
    )
    try:
        if configuration_only:
            write_server_configuration(directory, listen)
        else:
            bootstrap(directory, listen)
    except FileExistsError as error:
        sys.exit(f"artcafe bootstrap: {error}")
    typer.echo(f"start the broker with: nats-server -c {directory / 'nats-server.conf'}")


@tables.command(name="create")
def create_command() -> None:
    """Create the tables that do not exist yet."""
    from artcafe_common.cli.operator_bus import quiet
    from artcafe_common.settings import StoreSettings, load
    from artcafe_common.storage.create import create_tables

    quiet()
    settings = load(StoreSettings)
    for name in asyncio.run(create_tables(region=settings.aws_region, prefix=settings.table_prefix)):
        typer.echo(f"created {name}")


@plan.command(name="set")
def set_plan(tenant_id: str, plan: Plan) -> None:
    """Put an organization on a plan; the broker's limits follow at once."""
    account = asyncio.run(_change_plan(tenant_id, plan))
    typer.echo(f"{account.account_id} is on the plan {account.plan}")


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
    seeds: Annotated[
        Path, typer.Option(help="The file that the new seeds are added to, one JSON object a line.")
    ] = Path("seeds.jsonl"),
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without, only say what would be done.")
    ] = False,
) -> None:
    """Make clients of an organization's agents, under their ids; their connections end."""
    from artcafe_common.cli.migration import migrate

    if not asyncio.run(migrate(tenant_id, seeds if apply else None, typer.echo)):
        sys.exit("artcafe: not every agent was migrated")


@app.command(rich_help_panel=FOR_OPERATORS)
def dev(
    directory: Annotated[
        Path, typer.Option(envvar="ARTCAFE_DEV_DIR", help="Where it keeps its files.")
    ] = Path(".dev"),
    port_base: Annotated[
        int,
        typer.Option(envvar="ARTCAFE_DEV_PORT_BASE", min=1024, max=65530, help="The first of six ports."),
    ] = 8000,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    # Needs the packages of the extra `dev`, which a server does not install.
    from artcafe_common.cli.operator_bus import quiet
    from artcafe_common.dev.stack import run

    quiet()
    asyncio.run(run(directory, port_base))


def main() -> None:
    """The `artcafe` command."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        app(prog_name="artcafe")
    except Failure as error:
        _end(error.line, error.exit_code)
    except Exception as error:
        # What refuses on the bus or in the settings is known only where those were imported.
        from artcafe_common.bus.errors import CommandError
        from artcafe_common.settings import SettingsError

        if isinstance(error, CommandError):
            _end(f"{error.detail} ({error.code})", exit_for(error.status))
        if isinstance(error, SettingsError | OSError):
            _end(str(error), ExitCode.FAILED)
        raise


def _end(line: str, code: ExitCode) -> NoReturn:
    say(f"artcafe: {line}")
    sys.exit(code)


if __name__ == "__main__":
    main()
