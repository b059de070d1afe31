"""`artcafe clients`: an organization's clients and their seeds."""

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
from artcafe_common.cli.user_commands import in_path, show_page, signed_in

if TYPE_CHECKING:
    from artcafe_common.cli.api import Api

clients = typer.Typer(no_args_is_help=True, help="The clients of an organization.")

NewSeedFile = Annotated[
    Path | None,
    typer.Option("--seed-file", metavar="PATH", help="Write the seed here (0600) instead of showing it."),
]
CLIENT = ("client_id", "name", "status", "last_seen", "nkey_public")


@clients.command("list")
def list_clients(
    status: Annotated[str | None, typer.Option(help="Only online, offline or suspended ones.")] = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """The clients, and whether they are there."""
    with signed_in(api, account) as called:
        page = called.pages("/clients", "clients", limit=limit, params={"status": status})
    show_page(page, "clients", CLIENT, as_json=as_json)


@clients.command("create")
def create_client(
    name: Name,
    publish: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="It may publish here; again for more.")
    ] = None,
    subscribe: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="It may subscribe here; again for more.")
    ] = None,
    seed_file: NewSeedFile = None,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Register a client; its seed is shown once."""
    wanted: dict[str, Any] = {"name": name}
    permissions = {k: v for k, v in (("publish", publish), ("subscribe", subscribe)) if v}
    if permissions:
        wanted["permissions"] = permissions
    with signed_in(api, account) as called, _seed_to(seed_file, new=True) as write:
        made = called.call("POST", "/clients", json=wanted)
        write(made)
        _remember(called, made)
    _show_seed(made, seed_file, as_json=as_json)


@clients.command("regenerate")
def regenerate_key(
    client_id: Id,
    seed_file: NewSeedFile = None,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Give a client a new key; connections with the old one end."""
    with signed_in(api, account) as called, _seed_to(seed_file, new=False) as write:
        made = called.call("POST", f"/clients/{in_path(client_id)}/regenerate-nkey")
        write(made)
        _remember(called, made)
    _show_seed(made, seed_file, as_json=as_json)


@clients.command("delete")
def delete_client(
    client_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Delete a client and end its connections."""
    with signed_in(api, account) as called:
        gone = called.call("DELETE", f"/clients/{in_path(client_id)}")
    if as_json:
        output.as_json(gone)
    else:
        output.line(f"deleted {gone['client_id']} {gone['name']}")


@contextmanager
def _seed_to(path: Path | None, *, new: bool) -> Iterator[Any]:
    """A writer of the seed, sure of its place before a key is made: none is lost to a full disk."""
    if path is None:
        yield lambda _made: None
        return
    part = path if new else path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC), 0o600)
    except OSError as error:
        raise Failure(f"cannot write the seed to {path}: {error.strerror}") from None
    written = False

    def write(made: dict[str, Any]) -> None:
        nonlocal written
        try:
            os.write(descriptor, f"{made['nkey_seed']}\n".encode())
            os.fsync(descriptor)
            part.replace(path)
        except OSError as error:
            output.say(f"cannot write {path}: {error}; the seed is {made['nkey_seed']}")
            raise Failure(f"cannot write the seed to {path}: {error.strerror}") from None
        written = True

    try:
        yield write
    finally:
        os.close(descriptor)
        if not written:
            part.unlink(missing_ok=True)


def _remember(called: "Api", made: dict[str, Any]) -> None:
    """Keep where clients connect: only the answers that bear a seed tell."""
    import msgspec

    from artcafe_common.cli import session as sessions

    root = urlsplit(made["connection"]["websocket_url"])
    session = msgspec.structs.replace(
        called.session,
        nats_url=made["connection"]["nats_url"],
        websocket_url=f"{root.scheme}://{root.netloc}{root.path.partition('/ws/client/')[0]}",
    )
    known = sessions.stored()
    if known is not None and known.api == session.api and session != known:
        sessions.keep(session)


def _show_seed(made: dict[str, Any], seed_file: Path | None, *, as_json: bool) -> None:
    if seed_file is not None:
        kept = {name: value for name, value in made.items() if name not in ("nkey_seed", "warning")}
        made = {**kept, "seed_file": str(seed_file)}
    if as_json:
        output.as_json(made)
        return
    client = made["client"]
    told = {"client_id": client["client_id"], "name": client["name"], "nkey_public": client["nkey_public"]}
    seed = {"seed_file": str(seed_file)} if seed_file is not None else {"nkey_seed": made["nkey_seed"]}
    output.facts({**told, **seed, **made["connection"]})
    if "warning" in made:
        output.say(made["warning"])
