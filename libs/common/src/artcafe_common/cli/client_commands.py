"""`artcafe clients`: manage an organization's clients and their keys."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Id, Limit, Name
from artcafe_common.cli.user_commands import (
    change_status,
    delete_resource,
    open_api,
    path_segment,
    print_page,
)
from artcafe_common.contracts.identity.clients import StreamAccess

if TYPE_CHECKING:
    from artcafe_common.cli.api import Api

clients = typer.Typer(no_args_is_help=True, help="An organization's clients.")

NewSeedFile = Annotated[
    Path | None,
    typer.Option(
        "--seed-file", metavar="PATH", help="Write the seed to this file (0600) instead of printing it."
    ),
]
CLIENT_COLUMNS = ("client_id", "name", "status", "last_seen", "nkey_public")


@clients.command("list")
def list_clients(
    status: Annotated[
        str | None, typer.Option(help="Only clients with this status: online, offline or suspended.")
    ] = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the clients and their status."""
    with open_api(api, account) as client:
        page = client.list_all("/clients", "clients", limit=limit, params={"status": status})
    print_page(page, "clients", CLIENT_COLUMNS, as_json=as_json)


@clients.command("create")
def create_client(
    name: Name,
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="A subject pattern that it may publish to; repeatable."),
    ] = None,
    subscribe: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="A subject pattern that it may subscribe to; repeatable."),
    ] = None,
    streams: Annotated[
        StreamAccess | None,
        typer.Option(help="What it may do over JetStream's own API. Default: read with `>` in subscribe."),
    ] = None,
    seed_file: NewSeedFile = None,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create a client; its seed is shown only once."""
    body: dict[str, Any] = {"name": name}
    lists = (("publish", publish), ("subscribe", subscribe), ("streams", streams))
    permissions = {name: value for name, value in lists if value}
    if permissions:
        body["permissions"] = permissions
    with open_api(api, account) as client, _open_seed_file(seed_file, new=True) as write_seed:
        created = client.request("POST", "/clients", json=body)
        write_seed(created)
        _save_urls(client, created)
    _print_seed(created, seed_file, as_json=as_json)


@clients.command("regenerate")
def regenerate_key(
    client_id: Id,
    seed_file: NewSeedFile = None,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Replace a client's key; connections with the old key are closed."""
    with open_api(api, account) as client, _open_seed_file(seed_file, new=False) as write_seed:
        created = client.request("POST", f"/clients/{path_segment(client_id)}/regenerate-nkey")
        write_seed(created)
        _save_urls(client, created)
    _print_seed(created, seed_file, as_json=as_json)


@clients.command("suspend")
def suspend_client(
    client_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Suspend a client: its connections are closed, and it cannot connect again."""
    change_status("clients", client_id, "suspended", account=account, api=api, as_json=as_json)


@clients.command("resume")
def resume_client(
    client_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Let a suspended client connect again."""
    change_status("clients", client_id, "active", account=account, api=api, as_json=as_json)


@clients.command("delete")
def delete_client(
    client_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Delete a client and close its connections."""
    delete_resource("clients", client_id, account=account, api=api, as_json=as_json)


@contextmanager
def _open_seed_file(path: Path | None, *, new: bool) -> Iterator[Any]:
    """A function that writes the seed; the file is created first, so that no key is lost to a full disk."""
    if path is None:
        yield lambda _created: None
        return
    temporary = path if new else path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC), 0o600)
    except OSError as error:
        raise Failure(f"cannot write the seed to {path}: {error.strerror}") from None
    written = False

    def write(created: dict[str, Any]) -> None:
        nonlocal written
        try:
            os.write(descriptor, f"{created['nkey_seed']}\n".encode())
            os.fsync(descriptor)
            temporary.replace(path)
        except OSError as error:
            output.print_notice(f"cannot write {path}: {error}; the seed is {created['nkey_seed']}")
            raise Failure(f"cannot write the seed to {path}: {error.strerror}") from None
        written = True

    try:
        yield write
    finally:
        os.close(descriptor)
        if not written:
            temporary.unlink(missing_ok=True)


def _save_urls(client: "Api", created: dict[str, Any]) -> None:
    """Save the connection URLs in the session, because only responses with a seed contain them."""
    import msgspec

    from artcafe_common.cli import session as sessions

    root = urlsplit(created["connection"]["websocket_url"])
    session = msgspec.structs.replace(
        client.session,
        nats_url=created["connection"]["nats_url"],
        websocket_url=f"{root.scheme}://{root.netloc}{root.path.partition('/ws/client/')[0]}",
    )
    stored = sessions.load_session()
    if stored is not None and stored.api == session.api and session != stored:
        sessions.save_session(session)


def _print_seed(created: dict[str, Any], seed_file: Path | None, *, as_json: bool) -> None:
    if seed_file is not None:
        public = {name: value for name, value in created.items() if name not in ("nkey_seed", "warning")}
        created = {**public, "seed_file": str(seed_file)}
    if as_json:
        output.print_json(created)
        return
    fields = {name: created["client"][name] for name in ("client_id", "name", "nkey_public")}
    seed = {"seed_file": str(seed_file)} if seed_file is not None else {"nkey_seed": created["nkey_seed"]}
    output.print_fields({**fields, **seed, **created["connection"]})
    if "warning" in created:
        output.print_notice(created["warning"])
