"""Gives the streams that clients keep the installation's number of replicas.

The account's record, which no client can write, has the number that was set last. So a stream that differs from it was
changed by an operator, and stays until `ARTCAFE_STREAM_REPLICAS` changes.
"""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.bus.errors import CommandError, ServiceUnavailable
from artcafe_common.concurrency import run_bounded
from artcafe_identity.account_connections import close_quietly, connect_to_account
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.tenant_claims import own_streams_move_user_claims

MAX_CONCURRENT = 8
TIMEOUT_S = 5
_NOT_FOUND = 404
Streams = dict[str, dict[str, Any]]
log = structlog.get_logger()


class OwnStreamReplicas:
    """Runs after each comparison of the streams."""

    def __init__(
        self, *, accounts: AccountRepository, nats_url: str, replicas: int, ca_file: Path | None = None
    ) -> None:
        self._accounts = accounts
        self._servers = nats_url.split(",")
        self._replicas = replicas
        self._ca_file = ca_file

    async def run(self, actual: dict[str, Streams]) -> None:
        """Change the streams of the accounts whose number was not set yet; what fails is tried again next time."""
        due = [
            (tenant_id, recorded, actual[account])
            for tenant_id, (account, recorded) in tuple(self._accounts.index.own_accounts.items())
            if (recorded or 1) != self._replicas and actual.get(account)
        ]

        async def change(tenant_id: str, recorded: int, streams: Streams) -> None:
            try:
                await self._change(tenant_id, recorded, streams)
            except (CommandError, nats.errors.Error, OSError, TimeoutError, ValueError) as error:
                log.warning("own_stream_replicas_not_changed", tenant_id=tenant_id, reason=repr(error))

        await run_bounded((partial(change, *each) for each in due), limit=MAX_CONCURRENT)

    async def _change(self, tenant_id: str, recorded: int, streams: Streams) -> None:
        wrong = [name for name, config in streams.items() if self._choose(config, recorded) is not None]
        if wrong:
            signing = await self._accounts.get_signing_account(tenant_id)
            if signing.own_account is None or signing.own_key is None:
                return
            nc = await connect_to_account(
                self._servers,
                claims=own_streams_move_user_claims(account=signing.own_account),
                signing_key=signing.own_key,
                ca_file=self._ca_file,
            )
            try:
                for name in wrong:
                    await self._change_stream(nc, tenant_id, name, recorded)
            finally:
                await close_quietly(nc)
        await self._accounts.set_own_replicas(tenant_id, self._replicas)

    async def _change_stream(self, nc: Nats, tenant_id: str, name: str, recorded: int) -> None:
        # Read again, because its client may have changed it meanwhile.
        info = await _call(nc, f"STREAM.INFO.{name}")
        wanted = self._choose(info["config"], recorded) if info else None
        if wanted is None:
            return
        await _call(nc, f"STREAM.UPDATE.{name}", {**info["config"], "num_replicas": wanted})
        log.info("own_stream_replicas_changed", tenant_id=tenant_id, stream=name, replicas=wanted)

    def _choose(self, config: dict[str, Any], recorded: int) -> int | None:
        """The number for a stream; None to leave it as it is.

        Without a record, of an earlier release, more were added by hand.
        """
        actual = config.get("num_replicas") or 1
        wanted = self._replicas if recorded else max(actual, self._replicas)
        return None if wanted == actual else wanted


async def _call(nc: Nats, call: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of the JetStream API; empty if there is no such stream. Raises ServiceUnavailable."""
    body = b"" if request is None else msgspec.json.encode(request)
    reply = await nc.request(f"$JS.API.{call}", body, timeout=TIMEOUT_S)
    answer = msgspec.json.decode(reply.data, type=dict[str, Any])
    error = answer.get("error")
    if error and error.get("code") != _NOT_FOUND:
        raise ServiceUnavailable(f"{call}: {error.get('description')}")
    return {} if error else answer
