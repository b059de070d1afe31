"""`artcafe members`: manage an organization's members and their roles."""

from typing import Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Limit
from artcafe_common.cli.user_commands import current_account, open_api, path_segment, print_page

members = typer.Typer(no_args_is_help=True, help="An organization's members.")

MEMBER_COLUMNS = ("user_id", "email", "role", "created_at")
UserId = Annotated[str, typer.Argument(help="The person's id: the `sub` of their tokens.")]
RoleName = Annotated[str, typer.Option("--role", help="The role: owner, admin, member or viewer.")]


@members.command("list")
def list_members(
    limit: Limit = 50, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """List the members and their roles."""
    with open_api(api, account) as client:
        page = client.list_all(f"{_path(client)}", "members", limit=limit)
    print_page(page, "members", MEMBER_COLUMNS, as_json=as_json)


@members.command("add")
def add_member(
    user_id: UserId,
    role: RoleName = "member",
    email: Annotated[str, typer.Option(help="The e-mail address, as a note.")] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add a person to the organization."""
    with open_api(api, account) as client:
        body = {"user_id": user_id, "role": role, "email": email}
        member = client.request("POST", _path(client), json=body)
    output.print_json(member) if as_json else output.print_fields(member, MEMBER_COLUMNS)


@members.command("set-role")
def set_role(
    user_id: UserId,
    role: Annotated[str, typer.Argument(help="The new role: owner, admin, member or viewer.")],
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Change a member's role."""
    with open_api(api, account) as client:
        member = client.request("PUT", f"{_path(client)}/{path_segment(user_id)}", json={"role": role})
    output.print_json(member) if as_json else output.print_fields(member, MEMBER_COLUMNS)


@members.command("remove")
def remove_member(
    user_id: UserId, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Remove a member; their connections to the organization are closed."""
    with open_api(api, account) as client:
        member = client.request("DELETE", f"{_path(client)}/{path_segment(user_id)}")
    if as_json:
        output.print_json(member)
    else:
        output.print_line(f"removed {member['user_id']} {member['email']}")


def _path(client: Any) -> str:
    return f"/accounts/{path_segment(current_account(client))}/members"
