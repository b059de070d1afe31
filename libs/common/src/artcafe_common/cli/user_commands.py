"""The commands of a user of the service: signing in, accounts, channels, what was used."""

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
channels = typer.Typer(no_args_is_help=True, help="The channels of an organization.")

ACCOUNT = ("account_id", "name", "plan", "role", "created_at")
CHANNEL = ("channel_id", "name", "subject", "description")
DAY = (
    "date",
    "messages",
    "deliveries",
    "bytes_in",
    "bytes_out",
    "api_calls",
    "active_clients",
    "active_channels",
)
ENTRY = ("timestamp", "type", "status", "action", "actor", "resource")


@contextmanager
def signed_in(api: str | None, account: str = "") -> "Iterator[Api]":
    """The API that was signed in to, acting for an organization."""
    from artcafe_common.cli.api import Api
    from artcafe_common.cli.session import find

    with Api(find(api), tenant_id=account) as called:
        yield called


def show_page(page: dict[str, Any], plural: str, columns: tuple[str, ...], *, as_json: bool) -> None:
    """A list, and whether there is more of it."""
    if as_json:
        output.as_json(page)
        return
    output.table(page[plural], columns)
    if page["next_cursor"]:
        output.say("there are more; --limit shows them")


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
    """Sign in; the password is asked for, or taken from ARTCAFE_PASSWORD or standard input."""
    from artcafe_common.cli import session as sessions
    from artcafe_common.cli.api import Api

    address = sessions.find(api).api
    if not sessions.is_private(address):
        output.say(f"warning: {address} is not https; the password can be read on its way")
    if not email:
        if not sys.stdin.isatty():
            raise Failure("who signs in? Give the e-mail address", ExitCode.USAGE)
        email = typer.prompt("E-mail", err=True)
    password = _password(email, address, from_stdin=password_stdin)
    with Api(sessions.Session(api=address)) as called:
        session = called.login(email, password)
        sessions.keep(session)
        page = called.pages("/accounts", "accounts", limit=2, tenant=False)
        chosen = page["accounts"][0] if len(page["accounts"]) == 1 else None
        if chosen:
            sessions.keep(_acting_for(session, chosen["account_id"]))
    current = chosen["account_id"] if chosen else None
    if as_json:
        output.as_json({"api": address, "email": email, "account_id": current})
        return
    output.line(f"signed in at {address} as {email}")
    if chosen:
        output.line(f"current organization: {chosen['account_id']} {chosen['name']}")
    elif page["accounts"]:
        output.line("choose an organization with: artcafe accounts use ACCOUNT_ID")
    else:
        output.line("found an organization with: artcafe accounts create NAME")


def logout() -> None:
    """Forget the tokens on this machine."""
    from artcafe_common.cli import session as sessions

    output.line("signed out" if sessions.forget() else "nobody was signed in")


def _password(email: str, address: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    given = os.environ.get("ARTCAFE_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty():
        raise Failure("no password: set ARTCAFE_PASSWORD or give --password-stdin", ExitCode.USAGE)
    return str(typer.prompt(f"Password of {email} at {address}", hide_input=True, err=True))


def _acting_for(session: Any, account_id: str) -> Any:
    import msgspec

    return msgspec.structs.replace(session, tenant_id=account_id)


# -- accounts --------------------------------------------------------------------------------------


@accounts.command("list")
def list_accounts(limit: Limit = 50, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Your organizations; the current one has a star."""
    with signed_in(api) as called:
        page = called.pages("/accounts", "accounts", limit=limit, tenant=False)
        current = called.tenant_id
    if as_json:
        output.as_json({**page, "current": current or None})
        return
    rows = [{"": "*" if each["account_id"] == current else " ", **each} for each in page["accounts"]]
    show_page({**page, "accounts": rows}, "accounts", ("", *ACCOUNT), as_json=False)


@accounts.command("use")
def use_account(account_id: Id, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Make an organization the current one."""
    from artcafe_common.cli import session as sessions

    with signed_in(api) as called:
        account = called.call("GET", f"/accounts/{in_path(account_id)}", tenant=False)
        sessions.keep(_acting_for(called.session, account["account_id"]))
    if as_json:
        output.as_json(account)
    else:
        output.line(f"current organization: {account['account_id']} {account['name']}")


@accounts.command("create")
def create_account(
    name: Name,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    use: Annotated[bool, typer.Option("--use", help="Make it the current one.")] = False,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Found an organization; the first becomes the current one."""
    from artcafe_common.cli import session as sessions

    with signed_in(api) as called:
        wanted = {"name": name, "description": description}
        account = called.call("POST", "/accounts", json=wanted, tenant=False)
        if use or not called.tenant_id:
            sessions.keep(_acting_for(called.session, account["account_id"]))
    if as_json:
        output.as_json(account)
    else:
        output.facts(account, ACCOUNT)


# -- channels --------------------------------------------------------------------------------------


@channels.command("list")
def list_channels(
    limit: Limit = 50, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """The channels."""
    with signed_in(api, account) as called:
        page = called.pages("/channels", "channels", limit=limit)
    show_page(page, "channels", CHANNEL, as_json=as_json)


@channels.command("create")
def create_channel(
    name: Name,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Open a channel."""
    with signed_in(api, account) as called:
        made = called.call("POST", "/channels", json={"name": name, "description": description})
    if as_json:
        output.as_json(made)
    else:
        output.facts(made, CHANNEL)


@channels.command("delete")
def delete_channel(
    channel_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Close a channel; what it kept is deleted."""
    with signed_in(api, account) as called:
        gone = called.call("DELETE", f"/channels/{in_path(channel_id)}")
    if as_json:
        output.as_json(gone)
    else:
        output.line(f"deleted {gone['channel_id']} {gone['name']}")


# -- what is and was -------------------------------------------------------------------------------


def status(
    client_id: Annotated[str, typer.Argument(help="A client; without, the whole service.")] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """How the service is, or whether a client is there."""
    if not client_id:
        _health(api, as_json=as_json)
        return
    with signed_in(api, account) as called:
        found = called.call("GET", f"/clients/{in_path(client_id)}/status")
    if as_json:
        output.as_json(found)
        return
    output.facts(found, ("client_id", "name", "status", "health", "last_seen", "metrics", "metadata"))
    if found["connections"]:
        output.table(found["connections"], tuple(found["connections"][0]))


def _health(api: str | None, *, as_json: bool) -> None:
    with signed_in(api) as called:
        health = called.open("GET", "/health", also=(503,))
    if as_json:
        output.as_json(health)
    else:
        output.facts(health, ("status", "version", "server_id"))
        rows = [{"service": name, **report} for name, report in health["services"].items()]
        output.table(rows, ("service", "status", "version", "server_id", "checks"))
    if health["status"] != "ok":
        raise Failure(f"the service is {health['status']}", ExitCode.UNAVAILABLE)


def usage(
    days: Annotated[int, typer.Option(min=1, max=90, help="How many days, today included.")] = 7,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """What was used by day, and of this month's quota."""
    from datetime import UTC, datetime, timedelta

    today = datetime.now(UTC).date()
    period = {"start_date": str(today - timedelta(days=days - 1)), "end_date": str(today)}
    with signed_in(api, account) as called:
        found = called.call("GET", "/usage/metrics", params=period)
        current = called.call("GET", "/usage/current")
    if as_json:
        output.as_json({**found, "current": current})
        return
    output.table([*found["daily"], {"date": "total", **found["totals"]}], DAY)
    messages = current["messages"]
    limit = "no limit" if messages["limit"] is None else f"{messages['limit']:,}, {messages['percent']} %"
    output.line(f"this month, plan {current['plan']}: {messages['used']:,} messages ({limit})")


def activity(
    hours: Annotated[int, typer.Option(min=1, max=720, help="How far back.")] = 24,
    kind: Annotated[str | None, typer.Option("--type", help="Only entries of this type.")] = None,
    status: Annotated[str | None, typer.Option(help="Only success, denied or warning.")] = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """What happened, newest first."""
    wanted = {"hours": hours, "type": kind, "status": status}
    with signed_in(api, account) as called:
        page = called.pages("/activity/logs", "logs", limit=limit, params=wanted)
    show_page(page, "logs", ENTRY, as_json=as_json)


def in_path(text: str) -> str:
    """An id as a part of a path."""
    if text in ("", ".", ".."):
        raise Failure("that is no id", ExitCode.USAGE)
    return quote(text, safe="")
