"""The account of a tenant's streams, which no client can enter."""

import json
import time

from nats.aio.client import Client, RawCredentials

from artcafe_common.broker.claims import Credentials, UserClaims, encode
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.key_ring import KeyRing
from artcafe_identity.seed_cipher import SeedCipher
from support.aws import call_dynamodb
from support.cleanup import close_after_test


async def enter_streams_account(tenant):
    """A connection into the account of the platform's streams, as only the platform's keys allow it."""
    stack = tenant.stack
    key = {"seed_id": {"S": f"account#{tenant.id}"}}
    item = (await call_dynamodb(stack, "get_item", TableName="artcafe-nkey-seeds", Key=key))["Item"]
    streams = json.loads(item["streams"]["S"])
    cipher = SeedCipher(KeyRing.from_file(stack.directory / "keys/sealing.key"))
    signing_key = cipher.decrypt(streams["sealed_seed"], tenant_id=tenant.id, public=streams["platform_key"])
    user = create_key_pair(KeyKind.USER)
    jwt = encode(
        UserClaims(issuer_account=streams["account"]),
        issuer=KeyPair(signing_key),
        subject=user.public,
        name="operator",
        issued_at=int(time.time()),
    )
    nc = Client()
    close_after_test(nc, nc.close)
    await nc.connect(
        f"nats://127.0.0.1:{stack.ports.nats}",
        user_credentials=RawCredentials(Credentials(jwt=jwt, seed=user.seed).render()),
    )
    return nc.jetstream()
