"""The Cognito user pool of an emulated AWS, with a demo user."""

import msgspec

from artcafe_common.storage.aws_session import aws_session

NAME = "artcafe"
APP_CLIENT = "dashboard"
DEMO_USER = "demo@artcafe.local"
DEMO_NAME = "Demo User"
DEMO_PASSWORD = "Demo-Password-1"  # noqa: S105 - of an emulator, whose signing key is public


class UserPool(msgspec.Struct, frozen=True, kw_only=True):
    """What identity has to know of a user pool."""

    issuer: str
    client_id: str
    jwks_url: str


async def ensure_user_pool(endpoint: str, region: str) -> UserPool:
    """The pool of the emulator at `endpoint`; it, its app client and the demo user are created if they are missing."""
    client = aws_session().create_client("cognito-idp", region_name=region, endpoint_url=endpoint)
    async with client as cognito:
        pools = (await cognito.list_user_pools(MaxResults=60))["UserPools"]
        pool = next((each["Id"] for each in pools if each["Name"] == NAME), None)
        if pool is None:
            pool = (await cognito.create_user_pool(PoolName=NAME))["UserPool"]["Id"]
        apps = (await cognito.list_user_pool_clients(UserPoolId=pool))["UserPoolClients"]
        app = next((each["ClientId"] for each in apps if each["ClientName"] == APP_CLIENT), None)
        if app is None:
            created = await cognito.create_user_pool_client(
                UserPoolId=pool,
                ClientName=APP_CLIENT,
                ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            )
            app = created["UserPoolClient"]["ClientId"]
        users = (await cognito.list_users(UserPoolId=pool, Limit=1))["Users"]
        if not users:
            await cognito.admin_create_user(
                UserPoolId=pool,
                Username=DEMO_USER,
                UserAttributes=[
                    {"Name": "email", "Value": DEMO_USER},
                    {"Name": "email_verified", "Value": "true"},
                    {"Name": "name", "Value": DEMO_NAME},
                ],
                MessageAction="SUPPRESS",
            )
            await cognito.admin_set_user_password(
                UserPoolId=pool, Username=DEMO_USER, Password=DEMO_PASSWORD, Permanent=True
            )
    return UserPool(
        issuer=f"https://cognito-idp.{region}.amazonaws.com/{pool}",
        client_id=app,
        jwks_url=f"{endpoint}/{pool}/.well-known/jwks.json",
    )
