"""Own streams get the installation's number of replicas once; what an operator sets afterwards stays."""

import json
from types import SimpleNamespace

import pytest

from artcafe_identity import own_stream_replicas
from artcafe_identity.own_stream_replicas import OwnStreamReplicas

TENANT, ACCOUNT = "tenant", "ACCOUNT"


class FakeApi:
    """The JetStream API of an account; updates of `refused` fail."""

    def __init__(self, **streams):
        self.streams = {name: {"name": name, "num_replicas": number} for name, number in streams.items()}
        self.refused = set()

    async def request(self, subject, body, timeout):
        _, _, _, verb, name = subject.split(".")
        if name in self.refused or name not in self.streams:
            code = 503 if name in self.refused else 404
            return SimpleNamespace(data=json.dumps({"error": {"code": code, "description": "no"}}).encode())
        if verb == "UPDATE":
            self.streams[name] = json.loads(body)
        return SimpleNamespace(data=json.dumps({"config": self.streams[name]}).encode())

    async def close(self):
        pass

    @property
    def numbers(self):
        return {name: config["num_replicas"] for name, config in self.streams.items()}


class FakeAccounts:
    def __init__(self, recorded):
        self.index = SimpleNamespace(own_accounts={TENANT: (ACCOUNT, recorded)})

    async def get_signing_account(self, _tenant_id):
        return SimpleNamespace(own_account=ACCOUNT, own_key="key")

    async def set_own_replicas(self, tenant_id, replicas):
        self.index.own_accounts[tenant_id] = (ACCOUNT, replicas)

    @property
    def recorded(self):
        return self.index.own_accounts[TENANT][1]


@pytest.fixture
def run(monkeypatch):
    async def run(accounts, api, replicas):
        async def connect(*_args, **_options):
            return api

        monkeypatch.setattr(own_stream_replicas, "connect_to_account", connect)
        streams = {ACCOUNT: dict(api.streams), "another": {}}
        await OwnStreamReplicas(accounts=accounts, nats_url="", replicas=replicas).run(streams)

    return run


async def test_streams_of_an_earlier_release_are_raised_and_not_lowered(run):
    accounts, api = FakeAccounts(0), FakeApi(A=1, B=5)
    await run(accounts, api, 3)
    assert api.numbers == {"A": 3, "B": 5}
    assert accounts.recorded == 3


async def test_number_set_by_hand_stays_until_the_setting_changes(run):
    accounts, api = FakeAccounts(3), FakeApi(A=1)
    await run(accounts, api, 3)
    assert api.numbers == {"A": 1}
    await run(accounts, api, 5)
    assert api.numbers == {"A": 5}
    await run(accounts, api, 1)
    assert (api.numbers, accounts.recorded) == ({"A": 1}, 1)


async def test_refused_change_is_tried_again(run):
    accounts, api = FakeAccounts(0), FakeApi(A=1)
    api.refused = {"A"}
    await run(accounts, api, 3)
    assert (api.numbers, accounts.recorded) == ({"A": 1}, 0)
    api.refused = set()
    await run(accounts, api, 3)
    assert (api.numbers, accounts.recorded) == ({"A": 3}, 3)
