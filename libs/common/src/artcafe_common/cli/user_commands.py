"""Commands for users: login, accounts, channels, status, usage and activity."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Id, Limit, Name

if TYPE_CHECKING:
    from artcafe_common.cli.api import Api

accounts = typer.Typer(no_args_is_help=True, help="Your organizations.")
channels = typer.Typer(no_args_is_help=True, help="An organization's channels.")

ACCOUNT_COLUMNS = ("account_id", "name", "plan", "role", "created_at")
CHANNEL_COLUMNS = ("channel_id", "name", "subject", "description")
DAY_COLUMNS = (
    "date",
    "messages",
    "deliveries",
    "bytes_in",
    "bytes_out",
    "api_calls",
    "active_clients",
    "active_channels",
)
LIMIT_NAMES = ("messages", "clients", "channels", "connections", "storage_bytes")
LIMIT_COLUMNS = ("name", "used", "limit", "percent")
ACTIVITY_COLUMNS = ("timestamp", "type", "status", "action", "actor", "resource")


@contextmanager
def open_api(api: str | None, account: str = "") -> "Iterator[Api]":
    """A client of the API for the given or current organization."""
    from artcafe_common.cli.api import Api
    from artcafe_common.cli.session import require_session

    with Api(require_session(api), tenant_id=account) as client:
        yield client


def change_status(
    collection: str, key: str, status: str, *, account: str, api: str | None, as_json: bool
) -> None:
    """Set the status of an item of a collection, such as `clients`, and print the result."""
    with open_api(api, account) as client:
        changed = client.request("PUT", f"/{collection}/{path_segment(key)}", json={"status": status})
    if as_json:
        output.print_json(changed)
    else:
        output.print_line(f"{_id_of(changed, collection)} {changed['name']} is {changed['status']}")


def delete_resource(collection: str, key: str, *, account: str, api: str | None, as_json: bool) -> None:
    """Delete an item of a collection, such as `clients`, and print it."""
    with open_api(api, account) as client:
        deleted = client.request("DELETE", f"/{collection}/{path_segment(key)}")
    if as_json:
        output.print_json(deleted)
    else:
        output.print_line(f"deleted {_id_of(deleted, collection)} {deleted['name']}")


def _id_of(item: dict[str, Any], collection: str) -> str:
    return str(item[f"{collection.removesuffix('s')}_id"])


def print_page(page: dict[str, Any], plural: str, columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print a list, with a notice if it is incomplete."""
    if as_json:
        output.print_json(page)
        return
    output.print_table(page[plural], columns)
    if page["next_cursor"]:
        output.print_notice("the list is incomplete; raise --limit to see more")


# -- signing in ------------------------------------------------------------------------------------


def login(
    email: Annotated[str, typer.Argument(envvar="ARTCAFE_EMAIL", help="Your e-mail address.")] = "",
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Sign in; the password is read from ARTCAFE_PASSWORD, standard input or a prompt."""
    from artcafe_common.cli import session as sessions
    from artcafe_common.cli.api import Api

    url = sessions.require_session(api).api
    if not sessions.is_secure(url):
        output.print_notice(f"warning: {url} does not use https; the password is sent unencrypted")
    if not email:
        if not sys.stdin.isatty():
            raise Failure("the e-mail address is missing; pass it as an argument", ExitCode.USAGE)
        email = typer.prompt("E-mail", err=True)
    password = _read_password(email, url, from_stdin=password_stdin)
    with Api(sessions.Session(api=url)) as client:
        session = client.login(email, password)
        sessions.save_session(session)
        page = client.list_all("/accounts", "accounts", limit=2, tenant=False)
        current = page["accounts"][0] if len(page["accounts"]) == 1 else None
        if current:
            sessions.save_session(_with_tenant(session, current["account_id"]))
    if as_json:
        account_id = current["account_id"] if current else None
        output.print_json({"api": url, "email": email, "account_id": account_id})
        return
    output.print_line(f"signed in to {url} as {email}")
    if current:
        output.print_line(f"current organization: {current['account_id']} {current['name']}")
    elif page["accounts"]:
        output.print_line("choose an organization with: artcafe accounts use ACCOUNT_ID")
    else:
        output.print_line("create an organization with: artcafe accounts create NAME")


def logout() -> None:
    """Delete the stored tokens."""
    from artcafe_common.cli import session as sessions

    output.print_line("signed out" if sessions.delete_session() else "not signed in")


def _read_password(email: str, url: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = os.environ.get("ARTCAFE_PASSWORD")
    if password:
        return password
    if not sys.stdin.isatty():
        raise Failure("the password is missing; set ARTCAFE_PASSWORD or use --password-stdin", ExitCode.USAGE)
    return str(typer.prompt(f"Password of {email} at {url}", hide_input=True, err=True))


def _with_tenant(session: Any, account_id: str) -> Any:
    import msgspec

    return msgspec.structs.replace(session, tenant_id=account_id)


# -- accounts --------------------------------------------------------------------------------------


@accounts.command("list")
def list_accounts(limit: Limit = 50, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """List your organizations; an asterisk marks the current one."""
    with open_api(api) as client:
        page = client.list_all("/accounts", "accounts", limit=limit, tenant=False)
        current = client.tenant_id
    if as_json:
        output.print_json({**page, "current": current or None})
        return
    rows = [{"": "*" if each["account_id"] == current else " ", **each} for each in page["accounts"]]
    print_page({**page, "accounts": rows}, "accounts", ("", *ACCOUNT_COLUMNS), as_json=False)


@accounts.command("use")
def use_account(account_id: Id, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Select the current organization."""
    from artcafe_common.cli import session as sessions

    with open_api(api) as client:
        account = client.request("GET", f"/accounts/{path_segment(account_id)}", tenant=False)
        sessions.save_session(_with_tenant(client.session, account["account_id"]))
    if as_json:
        output.print_json(account)
    else:
        output.print_line(f"current organization: {account['account_id']} {account['name']}")


@accounts.command("create")
def create_account(
    name: Name,
    description: Annotated[str, typer.Option(help="A description.")] = "",
    *,
    use: Annotated[bool, typer.Option("--use", help="Make it the current organization.")] = False,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization; your first one becomes the current one."""
    from artcafe_common.cli import session as sessions

    with open_api(api) as client:
        body = {"name": name, "description": description}
        account = client.request("POST", "/accounts", json=body, tenant=False)
        if use or not client.tenant_id:
            sessions.save_session(_with_tenant(client.session, account["account_id"]))
    if as_json:
        output.print_json(account)
    else:
        output.print_fields(account, ACCOUNT_COLUMNS)


# -- channels --------------------------------------------------------------------------------------


@channels.command("list")
def list_channels(
    limit: Limit = 50, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """List the channels."""
    with open_api(api, account) as client:
        page = client.list_all("/channels", "channels", limit=limit)
    print_page(page, "channels", CHANNEL_COLUMNS, as_json=as_json)


@channels.command("create")
def create_channel(
    name: Name,
    description: Annotated[str, typer.Option(help="A description.")] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create a channel."""
    with open_api(api, account) as client:
        channel = client.request("POST", "/channels", json={"name": name, "description": description})
    if as_json:
        output.print_json(channel)
    else:
        output.print_fields(channel, CHANNEL_COLUMNS)


@channels.command("delete")
def delete_channel(
    channel_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Delete a channel and its stored messages."""
    delete_resource("channels", channel_id, account=account, api=api, as_json=as_json)


@channels.command("purge")
def purge_channel(
    channel_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Delete a channel's stored messages; the channel stays."""
    with open_api(api, account) as client:
        channel = client.request("POST", f"/channels/{path_segment(channel_id)}/purge")
    if as_json:
        output.print_json(channel)
    else:
        output.print_line(f"purged {channel['channel_id']} {channel['name']}")


# -- status, usage, activity -----------------------------------------------------------------------


def status(
    client_id: Annotated[
        str, typer.Argument(help="A client's id; without it, the status of the services.")
    ] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the status of the services, or of a client."""
    if not client_id:
        _print_health(api, as_json=as_json)
        return
    with open_api(api, account) as client:
        status = client.request("GET", f"/clients/{path_segment(client_id)}/status")
    if as_json:
        output.print_json(status)
        return
    output.print_fields(
        status, ("client_id", "name", "status", "health", "last_seen", "metrics", "traffic", "metadata")
    )
    if status["connections"]:
        output.print_table(status["connections"], tuple(status["connections"][0]))


def _print_health(api: str | None, *, as_json: bool) -> None:
    with open_api(api) as client:
        health = client.request_public("GET", "/health", accept=(503,))
    if as_json:
        output.print_json(health)
    else:
        # The API tells only the operator's addresses more than the status.
        fields = [name for name in ("status", "version", "server_id") if name in health]
        output.print_fields(health, fields)
        rows = [{"service": name, **report} for name, report in health.get("services", {}).items()]
        if rows:
            output.print_table(rows, ("service", "status", "version", "server_id", "checks"))
    if health["status"] != "ok":
        raise Failure(f"the status is {health['status']}", ExitCode.UNAVAILABLE)


def usage(
    days: Annotated[int, typer.Option(min=1, max=90, help="The number of days, including today.")] = 7,
    client_id: Annotated[
        str, typer.Option("--client", help="Only the usage of this client, by its id.")
    ] = "",
    channel_id: Annotated[
        str, typer.Option("--channel", help="Only the usage of this channel, by its id.")
    ] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the usage by day, and what is used of the plan; or the usage of one client or channel by day."""
    from datetime import UTC, datetime, timedelta

    today = datetime.now(UTC).date()
    period = {"start_date": str(today - timedelta(days=days - 1)), "end_date": str(today)}
    if client_id and channel_id:
        raise Failure("give either --client or --channel", ExitCode.USAGE)
    with open_api(api, account) as client:
        if client_id or channel_id:
            path = (
                f"/usage/clients/{path_segment(client_id)}"
                if client_id
                else f"/usage/channels/{path_segment(channel_id)}"
            )
            _print_days(client.request("GET", path, params=period), as_json=as_json)
            return
        metrics = client.request("GET", "/usage/metrics", params=period)
        current = client.request("GET", "/usage/current")
    if as_json:
        output.print_json({**metrics, "current": current})
        return
    _print_days(metrics, as_json=False)
    output.print_line(f"plan {current['plan']}; messages of this month, and what is used now:")
    output.print_table([{"name": name, **current[name]} for name in LIMIT_NAMES], LIMIT_COLUMNS)


def _print_days(metrics: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(metrics)
        return
    rows = [*metrics["daily"], {"date": "total", **metrics["totals"]}]
    output.print_table(rows, tuple(name for name in DAY_COLUMNS if name in rows[0]))


def activity(
    hours: Annotated[int, typer.Option(min=1, max=720, help="The number of past hours.")] = 24,
    kind: Annotated[str | None, typer.Option("--type", help="Only entries of this type.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only entries with this status: success, denied or warning.")
    ] = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the activity log, newest entries first."""
    filters = {"hours": hours, "type": kind, "status": status}
    with open_api(api, account) as client:
        page = client.list_all("/activity/logs", "logs", limit=limit, params=filters)
    print_page(page, "logs", ACTIVITY_COLUMNS, as_json=as_json)


def current_account(client: "Api") -> str:
    """The id of the given or current organization; raises Failure if none is selected."""
    if not client.tenant_id:
        raise Failure(
            "no organization is selected; pass --account, or run `artcafe accounts use`", ExitCode.USAGE
        )
    return client.tenant_id


def path_segment(text: str) -> str:
    """Escape an id as a segment of a URL path."""
    if text in ("", ".", ".."):
        raise Failure("the id is not valid", ExitCode.USAGE)
    return quote(text, safe="")
