"""The REST API, as the commands call it."""

import time
import uuid
from collections.abc import Mapping
from typing import Any, Self

import httpx
import msgspec

from artcafe_common import __version__
from artcafe_common.cli import session as sessions
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_for

TIMEOUT_S = 15.0
EARLY_S = 30.0
PAGE = 200
UNAUTHORIZED = 401
# After these a POST may have been done; the same Idempotency-Key finds out.
TRIES = 3
PAUSE_S = 0.5
NOT_SIGNED_IN = "not signed in; `artcafe login` signs in"


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = ""
    request_id: str = ""
    errors: list[dict[str, str]] = []


class Api:
    """One API with one session; every call has its deadline, every refusal is a Failure."""

    def __init__(self, session: sessions.Session, *, tenant_id: str = "") -> None:
        self.session = session
        self.tenant_id = tenant_id or session.tenant_id
        self._http = httpx.Client(timeout=TIMEOUT_S, headers={"User-Agent": f"artcafe-cli/{__version__}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        tenant: bool = True,
    ) -> Any:
        """What an authenticated route answers."""
        if not self.session.access_token:
            raise Failure(NOT_SIGNED_IN, ExitCode.DENIED)
        if self.session.refresh_token and time.time() > self.session.expires_at - EARLY_S:
            self._refresh()
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        if tenant and self.tenant_id:
            headers["X-Tenant-Id"] = self.tenant_id
        answer = self._signed(method, path, headers, json, params)
        if answer.status_code == UNAUTHORIZED and self.session.refresh_token:
            self._refresh()
            answer = self._signed(method, path, headers, json, params)
        return self._document(answer)

    def pages(
        self,
        path: str,
        plural: str,
        *,
        limit: int,
        params: Mapping[str, Any] | None = None,
        tenant: bool = True,
    ) -> dict[str, Any]:
        """Up to `limit` things of a list, and the cursor behind them."""
        found: list[Any] = []
        cursor = None
        while True:
            asked = {**(params or {}), "limit": min(PAGE, limit - len(found))}
            if cursor:
                asked["cursor"] = cursor
            page = self.call("GET", path, params=asked, tenant=tenant)
            found += page[plural]
            cursor = page["next_cursor"]
            if cursor is None or len(found) >= limit:
                return {plural: found, "next_cursor": cursor}

    def open(self, method: str, path: str, *, json: Any = None, also: tuple[int, ...] = ()) -> Any:
        """What a route that needs no credential answers; with a status of `also`, too."""
        return self._document(self._send(method, path, {}, json, None), also=also)

    def login(self, email: str, password: str) -> sessions.Session:
        """Sign in; the new session."""
        tokens = self.open("POST", "/auth/login", json={"email": email, "password": password})
        self._take(tokens, email=email)
        return self.session

    def _refresh(self) -> None:
        try:
            tokens = self.open("POST", "/auth/refresh", json={"refresh_token": self.session.refresh_token})
        except Failure as error:
            if error.exit_code is ExitCode.DENIED:
                raise Failure(NOT_SIGNED_IN, ExitCode.DENIED, code=error.code) from None
            raise
        self._take(tokens)
        sessions.keep(self.session)

    def _take(self, tokens: Mapping[str, Any], **changes: Any) -> None:
        self.session = msgspec.structs.replace(
            self.session,
            access_token=tokens["access_token"],
            # A provider need not give a new one each time.
            refresh_token=tokens.get("refresh_token") or self.session.refresh_token,
            expires_at=time.time() + tokens["expires_in"],
            **changes,
        )

    def _signed(
        self, method: str, path: str, headers: dict[str, str], json: Any, params: Mapping[str, Any] | None
    ) -> httpx.Response:
        signed = {**headers, "Authorization": f"Bearer {self.session.access_token}"}
        for left in reversed(range(TRIES if "Idempotency-Key" in headers else 1)):
            try:
                answer = self._send(method, path, signed, json, params)
            except _Unanswered:
                if not left:
                    raise
            else:
                if answer.status_code != 504 or not left:  # noqa: PLR2004 - whether it was done is not known
                    return answer
            time.sleep(PAUSE_S)
        raise AssertionError("the last try returned or raised")

    def _send(
        self, method: str, path: str, headers: dict[str, str], json: Any, params: Mapping[str, Any] | None
    ) -> httpx.Response:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._http.request(
                method, self.session.api + path, headers=headers, json=json, params=given or None
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Failure(
                f"cannot reach {self.session.api}: {error or 'no answer'}", ExitCode.UNAVAILABLE
            ) from None
        except httpx.HTTPError as error:
            raise _Unanswered(
                f"no answer from {self.session.api}: {type(error).__name__}", ExitCode.UNAVAILABLE
            ) from None

    def _document(self, answer: httpx.Response, also: tuple[int, ...] = ()) -> Any:
        if answer.is_success or answer.status_code in also:
            try:
                return msgspec.json.decode(answer.content)
            except msgspec.DecodeError:
                raise Failure(f"{self.session.api} is no ArtCafe API: its answer is not JSON") from None
        try:
            problem = msgspec.json.decode(answer.content, type=_Problem)
        except msgspec.DecodeError:
            problem = _Problem()
        detail = problem.detail or f"HTTP status {answer.status_code}"
        if problem.errors:
            detail += ": " + "; ".join(f"{e.get('field')}: {e.get('message')}" for e in problem.errors)
        if answer.headers.get("Retry-After"):
            detail += f"; again in {answer.headers['Retry-After']} s"
        raise Failure(
            detail,
            exit_for(answer.status_code),
            code=problem.code,
            request_id=problem.request_id or answer.headers.get("X-Request-Id", ""),
        )


class _Unanswered(Failure):
    """The request was sent; whether it was done is not known."""
