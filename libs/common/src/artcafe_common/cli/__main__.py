"""`artcafe`: the command line for users and operators.

Commands import their dependencies when they run, so that help and completion stay fast.
"""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from artcafe_common import __version__
from artcafe_common.cli import (
    account_deletion,
    agent_commands,
    backup_commands,
    client_commands,
    completion,
    connection_commands,
    doctor,
    invitation_commands,
    key_commands,
    measure_commands,
    member_commands,
    organization_commands,
    pubsub,
    subject_commands,
    upgrade,
    user_commands,
    watch,
)
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status
from artcafe_common.cli.output import print_notice
from artcafe_common.plans import Plan

if TYPE_CHECKING:
    from artcafe_common.contracts.tenancy.accounts import Account

FOR_USERS = "For users"
FOR_OPERATORS = "For operators"


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if value:
        revision = os.environ.get("ARTCAFE_REVISION", "")
        typer.echo(f"artcafe {__version__}{f' ({revision})' if revision else ''}")
        raise typer.Exit


app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
tables = typer.Typer(no_args_is_help=True, help="The DynamoDB tables.")
plan = typer.Typer(no_args_is_help=True, help="The plans of organizations.")
app.command(rich_help_panel=FOR_USERS)(user_commands.login)
app.command(rich_help_panel=FOR_USERS)(user_commands.logout)
user_commands.accounts.command("delete")(account_deletion.delete_account)
user_commands.accounts.command("restore")(account_deletion.restore_account)
app.add_typer(user_commands.accounts, name="accounts", rich_help_panel=FOR_USERS)
app.add_typer(client_commands.clients, name="clients", rich_help_panel=FOR_USERS)
app.add_typer(agent_commands.agents, name="agents", rich_help_panel=FOR_USERS)
app.add_typer(connection_commands.connections, name="connections", rich_help_panel=FOR_USERS)
app.add_typer(member_commands.members, name="members", rich_help_panel=FOR_USERS)
app.add_typer(invitation_commands.invitations, name="invitations", rich_help_panel=FOR_USERS)
app.add_typer(user_commands.channels, name="channels", rich_help_panel=FOR_USERS)
app.add_typer(subject_commands.subjects, name="subjects", rich_help_panel=FOR_USERS)
app.command(rich_help_panel=FOR_USERS)(pubsub.pub)
app.command(rich_help_panel=FOR_USERS)(pubsub.sub)
app.command(rich_help_panel=FOR_USERS)(watch.watch)
app.command(rich_help_panel=FOR_USERS)(measure_commands.bench)
app.command(rich_help_panel=FOR_USERS)(measure_commands.trace)
app.command(rich_help_panel=FOR_USERS)(user_commands.status)
app.command(rich_help_panel=FOR_USERS)(user_commands.usage)
app.command(rich_help_panel=FOR_USERS)(user_commands.activity)
app.command(rich_help_panel=FOR_USERS)(completion.completion)
app.command(rich_help_panel=FOR_OPERATORS)(doctor.doctor)
app.command(name="sync-accounts", rich_help_panel=FOR_OPERATORS)(doctor.sync_accounts)
app.command(name="sync-streams", rich_help_panel=FOR_OPERATORS)(doctor.sync_streams)
app.command(rich_help_panel=FOR_OPERATORS)(upgrade.upgrade)
app.command(rich_help_panel=FOR_OPERATORS)(backup_commands.backup)
app.command(rich_help_panel=FOR_OPERATORS)(backup_commands.restore)
app.add_typer(key_commands.keys, name="keys", rich_help_panel=FOR_OPERATORS)
app.add_typer(tables, name="tables", rich_help_panel=FOR_OPERATORS)
app.add_typer(plan, name="plan", rich_help_panel=FOR_OPERATORS)
app.add_typer(organization_commands.organization, name="organization", rich_help_panel=FOR_OPERATORS)


@app.callback()
def artcafe(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version.", callback=_print_version)
    ] = False,
) -> None:
    """Commands for users and operators of ArtCafe PubSub."""
    del version
    command = context.command.get_command(context, context.invoked_subcommand or "")  # type: ignore[attr-defined]
    panel = getattr(command, "rich_help_panel", None)
    if panel == FOR_OPERATORS and context.invoked_subcommand not in (
        "dev",
        "bootstrap",
        "certs",
        "upgrade",
        "backup",
        "restore",
    ):
        from artcafe_common.cli.dev_environment import use_development_stack

        use_development_stack()


@app.command(name="bootstrap", rich_help_panel=FOR_OPERATORS)
def bootstrap_command(
    directory: Annotated[Path, typer.Argument(help="The directory for keys and configuration.")],
    host: Annotated[
        str, typer.Option(help="The address that nats-server listens on: loopback, or that of the node.")
    ] = "",
    port: Annotated[int, typer.Option(help="The client port.")] = 4222,
    websocket_port: Annotated[int, typer.Option(help="The WebSocket port.")] = 8443,
    store: Annotated[Path, typer.Option(help="The directory for streams and accounts.")] = Path(
        "/var/lib/nats"
    ),
    server_name: Annotated[str, typer.Option(help="The server's name in a cluster.")] = "nats-1",
    *,
    stream_storage: Annotated[
        str,
        typer.Option(
            help="What the streams of a server may reserve together, such as 2TB; it may exceed the disk.",
            show_default="three quarters of the free disk",
        ),
    ] = "",
    cluster: Annotated[
        str,
        typer.Option(
            help="The nodes of a cluster and the addresses of their routes: n1=host:port,n2=host:port,…"
        ),
    ] = "",
    certificates: Annotated[
        Path | None,
        typer.Option(
            help="The directory with ca.pem, NAME.pem and NAME-key.pem of each node: encrypt everything."
        ),
    ] = None,
    configuration_only: Annotated[
        bool, typer.Option(help="Keep the keys and rewrite the servers' configurations.")
    ] = False,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew",
            help="Keep the keys; sign accounts and credentials again with the permissions of this release.",
        ),
    ] = False,
    if_outdated: Annotated[
        bool, typer.Option("--if-outdated", help="With --renew: only if another release signed them.")
    ] = False,
) -> None:
    """Create the operator, its accounts, the services' credentials and nats-server.conf."""
    from artcafe_common.installation.bootstrap import bootstrap
    from artcafe_common.installation.cluster import ClusterError, configure_nodes, parse_cluster
    from artcafe_common.installation.nats_server import NatsServerConfig, write_server_configuration
    from artcafe_common.installation.release_marker import mark_release

    if certificates and not cluster:
        sys.exit("artcafe bootstrap: --certificates is for the nodes of --cluster")
    if not re.fullmatch(r"([1-9][0-9]{0,8}[MGT]B)?", stream_storage):
        sys.exit("artcafe bootstrap: --stream-storage is a number with MB, GB or TB, such as 2TB")
    if renew:
        _renew(directory, if_outdated=if_outdated)
        return

    config = NatsServerConfig(
        host=host or "127.0.0.1",
        port=port,
        websocket_port=websocket_port,
        store=store,
        server_name=server_name,
        stream_storage=stream_storage,
    )
    try:
        servers = [config]
        if cluster:
            nodes = parse_cluster(cluster)
            servers = configure_nodes(nodes, config, host=host, certificates=certificates)
        if configuration_only:
            for server in servers:
                write_server_configuration(directory, server)
        else:
            bootstrap(directory, *servers)
            mark_release(directory)
    except (FileExistsError, ClusterError) as error:
        sys.exit(f"artcafe bootstrap: {error}")
    for server in servers:
        typer.echo(f"start {server.server_name} with: nats-server -c {directory / server.file}")


def _renew(directory: Path, *, if_outdated: bool) -> None:
    from artcafe_common.installation.release_marker import mark_release, renew_if_outdated
    from artcafe_common.installation.renewal import renew
    from artcafe_common.settings import SettingsError

    try:
        if if_outdated and not renew_if_outdated(directory):
            typer.echo("nothing to renew")
            return
        if not if_outdated:
            renew(directory)
            mark_release(directory)
    except (SettingsError, OSError) as error:
        sys.exit(f"artcafe bootstrap: {error}")
    typer.echo("renewed; restart nats-server with the new nats-server.conf, then the services")


@app.command(name="certs", rich_help_panel=FOR_OPERATORS)
def certs_command(
    directory: Annotated[Path, typer.Argument(help="The directory for the certificates.")],
    cluster: Annotated[str, typer.Option(help="The nodes, as for `bootstrap --cluster`.")],
) -> None:
    """Create certificates for the nodes of a cluster, and the authority that signs them."""
    from artcafe_common.installation.certificates import create_certificates
    from artcafe_common.installation.cluster import ClusterError, parse_cluster

    try:
        nodes = parse_cluster(cluster)
    except ClusterError as error:
        sys.exit(f"artcafe certs: {error}")
    for path in create_certificates(directory, nodes):
        typer.echo(f"created {path}")


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


@app.command(name="top", rich_help_panel=FOR_OPERATORS)
def top_command(
    interval: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two readings.")] = 2.0,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="The maximum number of organizations of each gateway.")
    ] = 200,
) -> None:
    """Show rates, sockets and slow consumers live, by gateway and by organization; q quits."""
    # textual takes long to import.
    from artcafe_common.cli.top import run

    asyncio.run(run(interval, limit))


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
        typer.Option(envvar="ARTCAFE_DEV_PORT_BASE", min=1024, max=65526, help="The first of ten ports."),
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
