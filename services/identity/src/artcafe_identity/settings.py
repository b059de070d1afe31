"""The settings of identity, read from environment variables."""

from typing import Annotated

from artcafe_common.settings import HTTP_SCHEMES, REDIS_SCHEMES, MetricsPort, StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """Environment variables of identity."""

    oidc_issuer: Annotated[
        str, env("The `iss` of user tokens: the URL of the Cognito user pool.", schemes=HTTP_SCHEMES)
    ]
    oidc_client_id: Annotated[str, env("The app client of user tokens (`aud` or `client_id`).")]
    oidc_jwks_url: Annotated[
        str,
        env(
            "The URL of the provider's public keys; derived from the issuer by default.", schemes=HTTP_SCHEMES
        ),
    ] = ""
    oidc_userinfo_url: Annotated[
        str,
        env(
            "The URL of the provider's user-info endpoint; without it, the user pool is asked for people's names.",
            schemes=HTTP_SCHEMES,
        ),
    ] = ""
    redis_url: Annotated[
        str,
        env(
            "The Redis that gateways and identity share for limits.", name="REDIS_URL", schemes=REDIS_SCHEMES
        ),
    ] = "redis://127.0.0.1:6379/0"
    keys_per_hour: Annotated[int, env("Keys that one organization may create per hour.", ge=1)] = 100
    challenge_ttl_s: Annotated[int, env("How long an issued challenge is valid.", unit="seconds", ge=1)] = 300

    challenges_per_minute: Annotated[
        int,
        env("Challenges per minute for one agent from one IP address.", ge=1),
    ] = 30
    allow_client_challenge: Annotated[
        bool,
        env(
            "Whether agents may sign challenges that they generate themselves, each once in 24 hours (docs/operate/install.md)."
        ),
    ] = False
    metrics_port: MetricsPort = 9101

    @property
    def jwks_url(self) -> str:
        """The URL of the provider's JWKS, derived from the issuer unless it is set."""
        return self.oidc_jwks_url or f"{self.oidc_issuer}/.well-known/jwks.json"
