"""`artcafe subjects`: manage subject records; the stored messages of subjects and channels."""

from typing import Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, Id, Limit, Name
from artcafe_common.cli.user_commands import channels, open_api, path_segment, print_page

subjects = typer.Typer(no_args_is_help=True, help="An organization's subject records.")

SUBJECT_COLUMNS = ("subject_id", "name", "pattern", "status", "retention")
MESSAGE_COLUMNS = ("seq", "timestamp", "subject", "from", "data")
Since = Annotated[
    str | None, typer.Option(metavar="SEQ_OR_TIME", help="Start with this `seq`, or at this RFC 3339 time.")
]
Last = Annotated[int | None, typer.Option(min=1, help="Start with the last N messages.")]


@subjects.command("list")
def list_subjects(
    limit: Limit = 50, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """List the subject records."""
    with open_api(api, account) as client:
        page = client.list_all("/subjects", "subjects", limit=limit)
    print_page(page, "subjects", SUBJECT_COLUMNS, as_json=as_json)


@subjects.command("create")
def create_subject(
    name: Name,
    pattern: Annotated[
        str, typer.Argument(help="The subjects whose messages are stored, such as `orders.>`.")
    ],
    max_age_s: Annotated[
        int | None, typer.Option(min=1, help="How long messages are kept, in seconds.")
    ] = None,
    max_messages: Annotated[int | None, typer.Option(min=1, help="How many messages are kept.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1024, help="How many bytes are kept.")] = None,
    description: Annotated[str, typer.Option(help="A description.")] = "",
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Store the messages of a pattern of subjects."""
    limits = {"max_age_s": max_age_s, "max_messages": max_messages, "max_bytes": max_bytes}
    retention = {name: value for name, value in limits.items() if value is not None}
    body: dict[str, Any] = {"name": name, "pattern": pattern, "description": description}
    if retention:
        body["retention"] = retention
    with open_api(api, account) as client:
        subject = client.request("POST", "/subjects", json=body)
    output.print_json(subject) if as_json else output.print_fields(subject, SUBJECT_COLUMNS)


@subjects.command("show")
def show_subject(
    subject_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Show a subject record, and whether the broker stores its messages."""
    with open_api(api, account) as client:
        subject = client.request("GET", f"/subjects/{path_segment(subject_id)}")
    output.print_json(subject) if as_json else output.print_fields(subject)


@subjects.command("delete")
def delete_subject(
    subject_id: Id, *, account: AccountId = "", api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Delete a subject record and its stored messages."""
    with open_api(api, account) as client:
        subject = client.request("DELETE", f"/subjects/{path_segment(subject_id)}")
    if as_json:
        output.print_json(subject)
    else:
        output.print_line(f"deleted {subject['subject_id']} {subject['name']}")


@channels.command("history")
def channel_history(
    channel_id: Id,
    since: Since = None,
    last: Last = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the stored messages of a channel, oldest first."""
    _print_history(f"/channels/{path_segment(channel_id)}", since, last, limit, account, api, as_json=as_json)


@subjects.command("history")
def subject_history(
    subject_id: Id,
    since: Since = None,
    last: Last = None,
    limit: Limit = 50,
    *,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the stored messages of a subject record, oldest first."""
    _print_history(f"/subjects/{path_segment(subject_id)}", since, last, limit, account, api, as_json=as_json)


def _print_history(
    path: str,
    since: str | None,
    last: int | None,
    limit: int,
    account: str,
    api: str | None,
    *,
    as_json: bool,
) -> None:
    start = {"since": since, "last": last}
    with open_api(api, account) as client:
        page = client.list_all(f"{path}/messages", "messages", limit=limit, params=start)
    print_page(page, "messages", MESSAGE_COLUMNS, as_json=as_json)
