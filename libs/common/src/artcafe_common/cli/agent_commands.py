"""`artcafe agents`: manage an organization's agents, which authenticate with SSH keys."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Id, Limit, Name
from artcafe_common.cli.user_commands import (
    change_status,
    delete_resource,
    open_api,
    path_segment,
    print_page,
)

agents = typer.Typer(no_args_is_help=True, help="An organization's agents.")

AGENT_COLUMNS = ("agent_id", "name", "status", "last_seen", "key_type", "fingerprint")
KEY_OPTIONS = "--public-key-file or --private-key-file"


@agents.command("list")
def list_agents(
    status: Annotated[
        str | None, typer.Option(help="Only agents with this status: online, offline or suspended.")
    ] = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the agents and their status."""
    with open_api(api, account) as client:
        page = client.list_all("/agents", "agents", limit=limit, params={"status": status})
    print_page(page, "agents", AGENT_COLUMNS, as_json=as_json)


@agents.command("create")
def create_agent(
    name: Name,
    public_key_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The agent's public key, in OpenSSH or PEM form.")
    ] = None,
    private_key_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Generate a key, and write it to this file (0600).")
    ] = None,
    description: Annotated[str, typer.Option(help="A description.")] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create an agent with its public key, or with a key that is generated and shown only once."""
    if (public_key_file is None) == (private_key_file is None):
        raise Failure(f"pass either {KEY_OPTIONS}", ExitCode.USAGE)
    body: dict[str, Any] = {"name": name, "description": description}
    if public_key_file is not None:
        body["public_key"] = _read(public_key_file)
    with open_api(api, account) as client:
        # The file is created first, so that no key is lost to a full disk.
        descriptor = None if private_key_file is None else _create(private_key_file)
        created: dict[str, Any] = {}
        try:
            created = client.request("POST", "/agents", json=body)
            if descriptor is not None:
                os.write(descriptor, created["private_key"].encode())
                os.fsync(descriptor)
        finally:
            if descriptor is not None and private_key_file is not None:
                os.close(descriptor)
                if not created:
                    private_key_file.unlink(missing_ok=True)
    created = {key: value for key, value in created.items() if key not in ("private_key", "warning")}
    if as_json:
        output.print_json(created)
    else:
        output.print_fields({**created["agent"], **created["connection"]}, (*AGENT_COLUMNS, "websocket_url"))


@agents.command("show")
def show_agent(agent_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Show an agent."""
    with open_api(api, account) as client:
        agent = client.request("GET", f"/agents/{path_segment(agent_id)}")
    output.print_json(agent) if as_json else output.print_fields(agent)


@agents.command("suspend")
def suspend_agent(
    agent_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Suspend an agent: its connections are closed, and it cannot connect again."""
    change_status("agents", agent_id, "suspended", account=account, api=api, as_json=as_json)


@agents.command("resume")
def resume_agent(
    agent_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Let a suspended agent connect again."""
    change_status("agents", agent_id, "active", account=account, api=api, as_json=as_json)


@agents.command("delete")
def delete_agent(
    agent_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Delete an agent and close its connections."""
    delete_resource("agents", agent_id, account=account, api=api, as_json=as_json)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {path}: {error}") from None


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(f"cannot write the key to {path}: {error.strerror}") from None
