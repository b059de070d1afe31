"""Keeps what the OpenID provider says of people in their profiles."""

import asyncio
from contextlib import suppress

import structlog
from cachetools import TTLCache

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.users import Tokens, User
from artcafe_common.contracts.tenancy.profiles import RecordUserDetails
from artcafe_identity.user_details import UserDetails
from artcafe_identity.user_info import UserInfo
from artcafe_identity.user_tokens import UserTokenVerifier

MAX_WAITING = 1_000
MAX_REMEMBERED = 20_000
REFRESH_INTERVAL_S = 3600
RETRY_INTERVAL_S = 60
WORKERS = 4
LOGIN_WAIT_S = 1.0
log = structlog.get_logger()


class UserDetailsRecorder:
    """Records a person's details when they are first seen, when they changed, and each hour.

    Workers do it, so that no request waits for the provider or depends on it. What fails is tried again when the person
    is seen a minute later.
    """

    def __init__(self, *, bus: Bus, verifier: UserTokenVerifier, user_info: UserInfo) -> None:
        self._bus = bus
        self._verifier = verifier
        self._user_info = user_info
        self._waiting: asyncio.Queue[tuple[User, str]] = asyncio.Queue(MAX_WAITING)
        # The users who wait or are being recorded.
        self._pending: set[str] = set()
        # Set, and replaced, when one of them is done.
        self._changed = asyncio.Event()
        self._recorded: TTLCache[str, UserDetails] = TTLCache(MAX_REMEMBERED, REFRESH_INTERVAL_S)
        self._failed: TTLCache[str, bool] = TTLCache(MAX_REMEMBERED, RETRY_INTERVAL_S)

    @property
    def waiting_count(self) -> int:
        """How many people wait to be recorded."""
        return self._waiting.qsize()

    def note(self, user: User, token: str) -> None:
        """Have the details of a user recorded, if that is due. Never waits."""
        if user.user_id in self._pending or not self._is_due(user):
            return
        try:
            self._waiting.put_nowait((user, token))
        except asyncio.QueueFull:
            return  # The next request of the user notes it again.
        self._pending.add(user.user_id)

    async def record_login(self, tokens: Tokens) -> None:
        """Record the details of a user who logs in; a failure does not hold up the login, nor a delay of the provider."""
        try:
            user = await self._verifier.verify(tokens.id_token)
        except CommandError as error:
            log.warning("user_details_not_recorded", reason=error.detail)
            return
        self.note(user, tokens.access_token)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOGIN_WAIT_S):
                while user.user_id in self._pending:
                    await self._changed.wait()

    async def run(self) -> None:
        """Record until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            user, token = await self._waiting.get()
            try:
                details = _details_of(user)
                if details == UserDetails():
                    details = await self._user_info.get(token, user.user_id)
                await self._record(user, details)
            except CommandError as error:
                log.warning("user_details_not_recorded", reason=error.detail)
                self._failed[user.user_id] = True
            finally:
                self._pending.discard(user.user_id)
                self._changed.set()
                self._changed = asyncio.Event()

    async def _record(self, user: User, details: UserDetails) -> None:
        if details != UserDetails():
            await self._bus.call(
                RecordUserDetails(
                    user_id=user.user_id,
                    email=details.email,
                    name=details.name,
                    email_verified=details.email_verified,
                ),
                caller=CallerContext.service("identity"),
            )
        self._recorded[user.user_id] = details

    def _is_due(self, user: User) -> bool:
        if self._failed.get(user.user_id):
            return False
        recorded = self._recorded.get(user.user_id)
        return recorded is None or _details_of(user) not in (UserDetails(), recorded)


def _details_of(user: User) -> UserDetails:
    return UserDetails(email=user.email, name=user.name, email_verified=user.email_verified)
