"""Plays identity's part at the broker: creates tenant accounts and authorizes clients."""

import json
import time

from nats.aio.client import RawCredentials

from artcafe_common.broker import claims
from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.clock import new_id
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, ingest_subject
from artcafe_common.installation.platform_keys import load_platform_keys
from support.ordered_flush import OrderedFlushNats


class PosingClient(OrderedFlushNats):
    """A NATS client that sends a `user` of its choice with its JWT, as any client may."""

    def __init__(self, user):
        super().__init__()
        self._posed_user = user

    def _connect_command(self):
        verb, _, fields = super()._connect_command().decode().partition(" ")
        return f"{verb} {json.dumps(json.loads(fields) | {'user': self._posed_user})}\r\n".encode()


class TenantAccount:
    """The keys of a tenant's broker account: the platform's signing key and one of the tenant's own."""

    def __init__(self):
        self.tenant_id = new_id()
        self.account = create_key_pair(KeyKind.ACCOUNT)
        self.platform_key = create_key_pair(KeyKind.ACCOUNT)
        self.own_key = create_key_pair(KeyKind.ACCOUNT)

    @property
    def public(self):
        return self.account.public

    def claims(self, platform_account):
        imports = [
            claims.Import(
                name=kind.value,
                subject=ingest_subject(self.public, kind, self.tenant_id),
                account=platform_account,
                type="service",
                local_subject=local.format(tenant_id=self.tenant_id),
                share=True,
            )
            for kind, local in LOCAL_SUBJECTS.items()
        ]
        imports.append(
            claims.Import(
                name="notices",
                subject=f"artcafe.tenant.{self.public}.presence.*",
                account=platform_account,
                type="stream",
                local_subject=f"tenant.{self.tenant_id}.presence.*",
            )
        )
        return claims.AccountClaims(
            limits=claims.AccountLimits(disk_storage=-1, streams=10, consumer=10),
            signing_keys=[self.platform_key.public, self.own_key.public],
            imports=imports,
        )


class BrokerAccounts:
    """Creates accounts, and answers the auth callout for the clients that a test registered."""

    def __init__(self, url, keys):
        self.url = url
        self._keys = keys
        self._clients = {}
        self.by_key = {}
        # Called with each login before it is answered.
        self.before_answer = None

    async def open(self):
        self._system = await connect(self.url, self._keys / "identity-system.creds", name="identity")
        self._callout = await connect(self.url, self._keys / "identity-callout.creds", name="identity")
        self._callout_key = KeyPair((self._keys / "callout.nk").read_text().strip())
        await self._callout.subscribe("$SYS.REQ.USER.AUTH", cb=self._authorize)
        await self._callout.flush()

    async def close(self):
        for nc in (self._callout, self._system):
            await nc.close()

    async def create(self):
        account = TenantAccount()
        operator = KeyPair((self._keys / "operator.nk").read_text().strip())
        body = account.claims(load_platform_keys(self._keys).platform_account)
        token = _sign(body, operator, account.public, account.tenant_id)
        response = await self._system.request("$SYS.REQ.CLAIMS.UPDATE", token.encode(), timeout=3)
        assert json.loads(response.data)["data"]["code"] == 200
        self.by_key[account.public] = account
        return account

    async def connect_client(self, account, client_id="", **options):
        """A connection of a client that presents only its NKey: (client id, connection)."""
        pair = create_key_pair(KeyKind.USER)
        client_id = client_id or new_id()
        self._clients[pair.public] = (account, client_id)
        nc = OrderedFlushNats()
        await nc.connect(self.url, nkeys_seed_str=pair.seed, **options)
        return client_id, nc

    async def connect_user(self, account, issuer, *, user="", user_claims=None, **options):
        """A connection with a user JWT that one of the account's signing keys issued; it calls itself `user`."""
        pair = create_key_pair(KeyKind.USER)
        user_claims = user_claims or claims.UserClaims(issuer_account=account.public)
        token = _sign(user_claims, issuer, pair.public, "user")
        credentials = claims.Credentials(jwt=token, seed=pair.seed).render()
        nc = PosingClient(user) if user else OrderedFlushNats()
        await nc.connect(self.url, user_credentials=RawCredentials(credentials), **options)
        return nc

    async def _authorize(self, message):
        request = claims.decode_authorization_request(message.data.decode()).nats
        if self.before_answer is not None:
            await self.before_answer(request)
        account, client_id = self._clients[request.connect_opts.nkey]
        user = claims.UserClaims(issuer_account=account.public)
        response = claims.AuthorizationResponse(
            jwt=_sign(user, account.platform_key, request.user_nkey, client_id)
        )
        token = _sign(response, self._callout_key, request.user_nkey, "callout", request.server_id.id)
        await message.respond(token.encode())


def _sign(body, issuer, subject, name, audience=""):
    return claims.encode(
        body, issuer=issuer, subject=subject, name=name, issued_at=int(time.time()), audience=audience
    )
