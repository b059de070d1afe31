"""`artcafe organization`: suspends an organization, or lets it resume."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from artcafe_common.cli import output

if TYPE_CHECKING:
    from artcafe_common.contracts.tenancy.accounts import Account

organization = typer.Typer(no_args_is_help=True, help="The state of organizations.")
TenantId = Annotated[str, typer.Argument(help="The id of the organization.")]


@organization.command()
def suspend(tenant_id: TenantId) -> None:
    """End all connections of an organization and refuse its clients and members; nothing is deleted."""
    account = asyncio.run(_set_status(tenant_id, "suspended"))
    output.print_line(f"suspended {account.account_id} {account.name}")


@organization.command()
def resume(tenant_id: TenantId) -> None:
    """Let the clients and members of a suspended organization in again."""
    account = asyncio.run(_set_status(tenant_id, "active"))
    output.print_line(f"resumed {account.account_id} {account.name}")


async def _set_status(tenant_id: str, status: str) -> "Account":
    from artcafe_common.bus.caller import CallerContext
    from artcafe_common.cli.operator_bus import operator_bus
    from artcafe_common.contracts.tenancy.accounts import AccountStatus, SetAccountStatus

    async with operator_bus() as bus:
        return await bus.call(
            SetAccountStatus(tenant_id=tenant_id, status=AccountStatus(status)),
            caller=CallerContext.service("admin"),
        )
