"""`artcafe connections`: list and end an organization's live connections."""

from typing import Annotated

import typer

from artcafe_common.cli import output
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Limit
from artcafe_common.cli.user_commands import open_api, path_segment, print_page

connections = typer.Typer(no_args_is_help=True, help="An organization's live connections.")

INSPECTED_COLUMNS = (
    "connection_id",
    "transport",
    "age_s",
    "idle_s",
    "queued_bytes",
    "subscription_count",
    "subscriptions",
    "errors",
)
CONNECTION_COLUMNS = ("connection_id", "client_id", "transport", "server", "ip", "connected_at", "last_seen")


@connections.command("list")
def list_connections(
    client_id: Annotated[str | None, typer.Option("--client", help="Only those of this client.")] = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the live connections of clients and agents, over WebSocket and direct NATS."""
    with open_api(api, account) as client:
        page = client.list_all("/connections", "connections", limit=limit, params={"client_id": client_id})
    print_page(page, "connections", CONNECTION_COLUMNS, as_json=as_json)


@connections.command("inspect")
def inspect_connections(
    client_id: Annotated[str, typer.Argument(help="The client's id.")],
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what the servers know of a client's connections: subscriptions, what waits to be sent, recent errors."""
    with open_api(api, account) as client:
        found = client.request("GET", f"/clients/{path_segment(client_id)}/connections")
    if as_json:
        output.print_json(found)
        return
    output.print_table(found["connections"], INSPECTED_COLUMNS)
    if not found["complete"]:
        output.print_notice("the client has more connections")


@connections.command("end")
def end_connection(
    connection_id: Annotated[str, typer.Argument(help="The connection's id.")],
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """End a connection; its client may connect again. To keep it away, suspend the client."""
    with open_api(api, account) as client:
        ended = client.request("DELETE", f"/connections/{path_segment(connection_id)}")
    output.print_json(ended) if as_json else output.print_fields(ended, CONNECTION_COLUMNS)
