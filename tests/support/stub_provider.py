"""An OpenID provider on loopback that can be in the states that moto's cannot: it answers as Cognito does.

`state` is a name of `provider_states`; the key set, the user info and the user pool API are all in that state.
"""

import asyncio
import json
import time

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from artcafe_identity.provider_states import STATES

APP = "app"
SUBJECT = "6a1f2c9e-0000-4000-8000-000000000001"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "other"})
BAD_KEYS = [
    {"kty": "RSA", "kid": "cut", "n": "!", "e": "AQAB"},
    {"kty": "AKP", "kid": "post-quantum", "alg": "ML-DSA-44", "pub": "x"},
    {"kty": "RSA", "kid": 5, "n": None},
    {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
    ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=False),
    "text",
    None,
]
MESSAGES = {
    "locked": "Password attempts exceeded",
    "misconfigured": "USER_PASSWORD_AUTH flow not enabled for this client",
}


class StubProvider:
    """The server; an async context manager."""

    def __init__(self, *, read_timeout_s=10):
        self.state = "ok"
        # The error code that stands for the state, where it has several.
        self.code = None
        # What it asks for one after another in the state `challenge`, and how it was answered.
        self.challenges = ["NEW_PASSWORD_REQUIRED"]
        self.answers = []
        self.user_info = {
            "sub": SUBJECT,
            "email": "ada@example.com",
            "email_verified": "true",
            "name": "Ada L.",
        }
        self.requests = []
        self._read_timeout_s = read_timeout_s
        self._release = asyncio.Event()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/.well-known/jwks.json", self._serve_keys)
        app.router.add_get("/oauth2/userInfo", self._serve_user_info)
        app.router.add_post("/", self._serve_pool)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        self._release.set()
        await self._runner.cleanup()

    @property
    def jwks_url(self):
        return f"{self.url}/.well-known/jwks.json"

    @property
    def user_info_url(self):
        return f"{self.url}/oauth2/userInfo"

    def client(self):
        """A client of the user pool API, with short times."""
        config = AioConfig(
            connect_timeout=1, read_timeout=self._read_timeout_s, retries={"total_max_attempts": 1}
        )
        return get_session().create_client(
            "cognito-idp",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="a",
            aws_secret_access_key="a",
            config=config,
        )

    def token(self, *, use="access", key=KEY, **changes):
        """A token that this provider issues."""
        claims = {"sub": SUBJECT, "iss": self.url, "exp": time.time() + 600.5, "token_use": use, **changes}
        claims.setdefault("client_id" if use == "access" else "aud", APP)
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    async def _fail(self, request):
        """The response of the state to any request; None if it answers."""
        self.requests.append(request.headers.get("X-Amz-Target", request.path))
        if self.state == "away":
            request.transport.abort()
            return web.Response()
        if self.state == "timeout":
            await self._release.wait()
        if self.state == "server_error":
            return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
        if self.state == "malformed":
            return web.Response(
                text='{"AuthenticationResult": {"AccessTok', content_type="application/x-amz-json-1.1"
            )
        return None

    async def _serve_keys(self, request):
        if (failure := await self._fail(request)) is not None:
            return failure
        if self.state == "throttled":
            return web.Response(status=429)
        keys = [OTHER_KEY if self.state == "key_withdrawn" else KEY]
        bad = BAD_KEYS if self.state == "one_bad_key" else []
        return web.json_response({"keys": [*bad, *(key.as_dict(private=False) for key in keys)]})

    async def _serve_user_info(self, request):
        if (failure := await self._fail(request)) is not None:
            return failure
        return web.json_response(self.user_info)

    async def _serve_pool(self, request):
        if (failure := await self._fail(request)) is not None:
            return failure
        state = STATES[self.state]
        if state.codes:
            return self._refuse(self.code or state.codes[0], MESSAGES.get(self.state, "refused"))
        if request.headers["X-Amz-Target"].endswith("GetUser"):
            attributes = [{"Name": name, "Value": value} for name, value in self.user_info.items()]
            return _json({"Username": SUBJECT, "UserAttributes": attributes})
        body = json.loads(await request.text())
        if request.headers["X-Amz-Target"].endswith("RespondToAuthChallenge"):
            self.answers.append((body["ChallengeName"], body["Session"], body["ChallengeResponses"]))
        if self.state == "challenge" and len(self.answers) < len(self.challenges):
            return self._challenge(self.challenges[len(self.answers)])
        details = {k: v for k, v in self.user_info.items() if k != "sub"}
        result = {"AccessToken": self.token(), "IdToken": self.token(use="id", **details), "ExpiresIn": 600}
        if body.get("AuthFlow") != "REFRESH_TOKEN_AUTH":
            result["RefreshToken"] = "refresh"
        return _json({"AuthenticationResult": result})

    def _challenge(self, name):
        parameters = {"USER_ID_FOR_SRP": SUBJECT}
        return _json(
            {"ChallengeName": name, "Session": f"session of {name}", "ChallengeParameters": parameters}
        )

    def _refuse(self, code, message):
        return _json({"__type": code, "message": message}, status=400)


def _json(content, *, status=200):
    return web.Response(text=json.dumps(content), status=status, content_type="application/x-amz-json-1.1")
