"""`artcafe accounts delete|restore`: delete an organization, or take that back."""

from typing import Any

from artcafe_common.cli import output
from artcafe_common.cli.options import ApiUrl, AsJson, Id
from artcafe_common.cli.user_commands import open_api, path_segment


def delete_account(account_id: Id, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Delete an organization: it is disconnected at once, and its data are deleted after 7 days."""
    account = _request("DELETE", account_id, "", api)
    if as_json:
        output.print_json(account)
    else:
        output.print_line(f"deleted {account['account_id']} {account['name']}")
        output.print_notice(
            f"its data are deleted at {account['deletion_at']}; until then: artcafe accounts restore"
        )


def restore_account(account_id: Id, *, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Take the deletion of an organization back."""
    account = _request("POST", account_id, "/restore", api)
    if as_json:
        output.print_json(account)
    else:
        output.print_line(f"restored {account['account_id']} {account['name']}")


def _request(method: str, account_id: str, suffix: str, api: str | None) -> Any:
    with open_api(api) as client:
        return client.request(method, f"/accounts/{path_segment(account_id)}{suffix}", tenant=False)
