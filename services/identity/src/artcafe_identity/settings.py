"""The settings of identity, read from environment variables."""

from typing import Annotated

from artcafe_common.settings import StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """Environment variables of identity."""

    oidc_issuer: Annotated[str, env("The `iss` of people's tokens: the Cognito user pool's URL.")]
    oidc_client_id: Annotated[str, env("The app client that tokens must be made for (`aud` or `client_id`).")]
    oidc_jwks_url: Annotated[
        str, env("Where the provider's public keys are; by default below the issuer.")
    ] = ""
    redis_url: Annotated[
        str, env("The Redis that gateways and identity share for limits.", name="REDIS_URL")
    ] = "redis://127.0.0.1:6379/0"
    keys_per_hour: Annotated[int, env("How many NKeys one organization may create in an hour.", ge=1)] = 100
    challenge_ttl_s: Annotated[int, env("How long a stored nonce can be used.", unit="seconds", ge=1)] = 300

    challenges_per_minute: Annotated[
        int,
        env("Challenges for one agent from one network address.", ge=1),
    ] = 30
    allow_client_challenge: Annotated[
        bool,
        env(
            "Whether agents may sign challenges that they made themselves, each once in 24 hours (docs/operate/install.md)."
        ),
    ] = False

    @property
    def jwks_url(self) -> str:
        """The URL of the provider's JWKS, derived from the issuer unless it is set."""
        return self.oidc_jwks_url or f"{self.oidc_issuer}/.well-known/jwks.json"
