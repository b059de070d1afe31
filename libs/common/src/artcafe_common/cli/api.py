"""A client of the REST API."""

import time
import uuid
from collections.abc import Mapping
from typing import Any, Self

import httpx
import msgspec

from artcafe_common import __version__
from artcafe_common.cli import session as sessions
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status

TIMEOUT_S = 15.0
REFRESH_BEFORE_EXPIRY_S = 30.0
PAGE = 200
UNAUTHORIZED = 401
# A POST without a response is repeated with the same Idempotency-Key, so it is applied once.
ATTEMPTS = 3
RETRY_DELAY_S = 0.5
NOT_SIGNED_IN = "not signed in; run `artcafe login`"


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = ""
    request_id: str = ""
    errors: list[dict[str, str]] = []


class Api:
    """Calls one API with one session; errors and timeouts are raised as Failure."""

    def __init__(self, session: sessions.Session, *, tenant_id: str = "") -> None:
        self.session = session
        self.tenant_id = tenant_id or session.tenant_id
        self._http = httpx.Client(timeout=TIMEOUT_S, headers={"User-Agent": f"artcafe-cli/{__version__}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        tenant: bool = True,
    ) -> Any:
        """Send an authenticated request and return the JSON response."""
        self.access_token()
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        if tenant and self.tenant_id:
            headers["X-Tenant-Id"] = self.tenant_id
        response = self._send_authorized(method, path, headers, json, params)
        if response.status_code == UNAUTHORIZED and self.session.refresh_token:
            self._refresh()
            response = self._send_authorized(method, path, headers, json, params)
        return self._parse_response(response)

    def access_token(self) -> str:
        """The access token, a new one if it expires soon. Failure if nobody is signed in."""
        if not self.session.access_token:
            raise Failure(NOT_SIGNED_IN, ExitCode.DENIED)
        if self.session.refresh_token and time.time() > self.session.expires_at - REFRESH_BEFORE_EXPIRY_S:
            self._refresh()
        return self.session.access_token

    def list_all(
        self,
        path: str,
        plural: str,
        *,
        limit: int,
        params: Mapping[str, Any] | None = None,
        tenant: bool = True,
    ) -> dict[str, Any]:
        """Read up to `limit` items of a paginated list; returns them with the next cursor."""
        items: list[Any] = []
        cursor = None
        while True:
            query = {**(params or {}), "limit": min(PAGE, limit - len(items))}
            if cursor:
                query["cursor"] = cursor
            page = self.request("GET", path, params=query, tenant=tenant)
            items += page[plural]
            cursor = page["next_cursor"]
            if cursor is None or len(items) >= limit:
                return {plural: items, "next_cursor": cursor}

    def request_public(
        self, method: str, path: str, *, json: Any = None, accept: tuple[int, ...] = ()
    ) -> Any:
        """Send a request without credentials; a status in `accept` is not an error."""
        return self._parse_response(self._send(method, path, {}, json, None), accept=accept)

    def login(self, email: str, password: str) -> sessions.Session:
        """Sign in and return the new session."""
        tokens = self.request_public("POST", "/auth/login", json={"email": email, "password": password})
        self._set_tokens(tokens, email=email)
        return self.session

    def _refresh(self) -> None:
        try:
            tokens = self.request_public(
                "POST", "/auth/refresh", json={"refresh_token": self.session.refresh_token}
            )
        except Failure as error:
            if error.exit_code is ExitCode.DENIED:
                raise Failure(NOT_SIGNED_IN, ExitCode.DENIED, code=error.code) from None
            raise
        self._set_tokens(tokens)
        sessions.save_session(self.session)

    def _set_tokens(self, tokens: Mapping[str, Any], **changes: Any) -> None:
        self.session = msgspec.structs.replace(
            self.session,
            access_token=tokens["access_token"],
            # A provider may omit the refresh token when it stays the same.
            refresh_token=tokens.get("refresh_token") or self.session.refresh_token,
            expires_at=time.time() + tokens["expires_in"],
            **changes,
        )

    def _send_authorized(
        self, method: str, path: str, headers: dict[str, str], json: Any, params: Mapping[str, Any] | None
    ) -> httpx.Response:
        authorized = {**headers, "Authorization": f"Bearer {self.session.access_token}"}
        for attempts_left in reversed(range(ATTEMPTS if "Idempotency-Key" in headers else 1)):
            try:
                response = self._send(method, path, authorized, json, params)
            except _NoResponse:
                if not attempts_left:
                    raise
            else:
                if response.status_code != 504 or not attempts_left:  # noqa: PLR2004 - the outcome is unknown
                    return response
            time.sleep(RETRY_DELAY_S)
        raise AssertionError("the last attempt returned or raised")

    def _send(
        self, method: str, path: str, headers: dict[str, str], json: Any, params: Mapping[str, Any] | None
    ) -> httpx.Response:
        query = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._http.request(
                method, self.session.api + path, headers=headers, json=json, params=query or None
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Failure(
                f"cannot reach {self.session.api}: {error or 'no response'}", ExitCode.UNAVAILABLE
            ) from None
        except httpx.HTTPError as error:
            raise _NoResponse(
                f"no response from {self.session.api}: {type(error).__name__}", ExitCode.UNAVAILABLE
            ) from None

    def _parse_response(self, response: httpx.Response, accept: tuple[int, ...] = ()) -> Any:
        if response.is_success or response.status_code in accept:
            try:
                return msgspec.json.decode(response.content)
            except msgspec.DecodeError:
                raise Failure(f"{self.session.api} is not an ArtCafe API: its response is not JSON") from None
        try:
            problem = msgspec.json.decode(response.content, type=_Problem)
        except msgspec.DecodeError:
            problem = _Problem()
        detail = problem.detail or f"HTTP status {response.status_code}"
        if problem.errors:
            detail += ": " + "; ".join(f"{e.get('field')}: {e.get('message')}" for e in problem.errors)
        if response.headers.get("Retry-After"):
            detail += f"; retry in {response.headers['Retry-After']} s"
        raise Failure(
            detail,
            exit_code_for_status(response.status_code),
            code=problem.code,
            request_id=problem.request_id or response.headers.get("X-Request-Id", ""),
        )


class _NoResponse(Failure):
    """The request was sent, but its outcome is unknown."""
