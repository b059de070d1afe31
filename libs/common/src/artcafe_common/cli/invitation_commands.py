"""`artcafe invitations`: invite people to an organization by e-mail address, and accept invitations."""

from typing import Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.member_commands import RoleName
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Limit
from artcafe_common.cli.user_commands import current_account, open_api, path_segment, print_page

invitations = typer.Typer(no_args_is_help=True, help="Invitations to organizations, by e-mail address.")

INVITATION_COLUMNS = ("invitation_id", "email", "role", "invited_by_name", "expires_at")
RECEIVED_COLUMNS = (
    "invitation_id",
    "account_id",
    "account_name",
    "role",
    "invited_by_name",
    "expires_at",
)
ORGANIZATION_COLUMNS = ("account_id", "name", "role", "plan")
InvitationId = Annotated[str, typer.Argument(help="The invitation's id.")]


@invitations.command("create")
def create_invitation(
    email: Annotated[str, typer.Argument(help="The e-mail address of the person.")],
    role: RoleName = "member",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Invite a person to the organization. Nothing is sent: the person finds the invitation after signing in."""
    with open_api(api, account) as client:
        created = client.request("POST", _path(client), json={"email": email, "role": role})
    output.print_json(created) if as_json else output.print_fields(created, (*INVITATION_COLUMNS, "link"))


@invitations.command("list")
def list_invitations(
    limit: Limit = 50, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """List the organization's open invitations."""
    with open_api(api, account) as client:
        page = client.list_all(_path(client), "invitations", limit=limit)
    print_page(page, "invitations", INVITATION_COLUMNS, as_json=as_json)


@invitations.command("revoke")
def revoke_invitation(
    invitation_id: InvitationId, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Revoke an invitation."""
    with open_api(api, account) as client:
        revoked = client.request("DELETE", f"{_path(client)}/{path_segment(invitation_id)}")
    output.print_json(revoked) if as_json else output.print_line(
        f"revoked the invitation of {revoked['email']}"
    )


@invitations.command("received")
def list_received(limit: Limit = 50, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """List the invitations for your own e-mail address."""
    with open_api(api) as client:
        page = client.list_all("/invitations", "invitations", limit=limit, tenant=False)
    print_page(page, "invitations", RECEIVED_COLUMNS, as_json=as_json)


@invitations.command("accept")
def accept_invitation(invitation_id: InvitationId, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Accept an invitation: you become a member of its organization."""
    with open_api(api) as client:
        path = f"/invitations/{path_segment(invitation_id)}/accept"
        organization = client.request("POST", path, tenant=False)
    output.print_json(organization) if as_json else output.print_fields(organization, ORGANIZATION_COLUMNS)


@invitations.command("decline")
def decline_invitation(invitation_id: InvitationId, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Decline an invitation."""
    with open_api(api) as client:
        path = f"/invitations/{path_segment(invitation_id)}/decline"
        declined = client.request("POST", path, tenant=False)
    output.print_json(declined) if as_json else output.print_line(f"declined {declined['account_name']}")


def _path(client: Any) -> str:
    return f"/accounts/{path_segment(current_account(client))}/invitations"
