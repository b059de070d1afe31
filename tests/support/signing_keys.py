"""NATS users that an organization issues with its own signing key."""

import json
import time

from nats.aio.client import RawCredentials

from artcafe_common.broker.claims import Credentials, UserClaims, encode
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from support.cleanup import close_after_test
from support.harness.broker_accounts import PosingClient


async def account_of(nc):
    """The public key of the account that a connection belongs to."""
    response = await nc.request("$SYS.REQ.USER.INFO", b"", timeout=2)
    return json.loads(response.data)["data"]["account"]


async def connect_minted_user(stack, account, seed, *, user="", **options):
    """A direct connection of a new user without limits, signed by the organization's key; it calls itself `user`."""
    pair = create_key_pair(KeyKind.USER)
    jwt = encode(
        UserClaims(issuer_account=account),
        issuer=KeyPair(seed),
        subject=pair.public,
        name="own",
        issued_at=int(time.time()),
    )

    async def ignore(_error):
        return None

    nc = PosingClient(user or pair.public)
    close_after_test(nc, nc.close)
    await nc.connect(
        f"nats://127.0.0.1:{stack.ports.nats}",
        user_credentials=RawCredentials(Credentials(jwt=jwt, seed=pair.seed).render()),
        **{"allow_reconnect": False, "error_cb": ignore, **options},
    )
    await nc.flush()
    return nc
