"""The emulated AWS of compose.yaml, which keeps its state over restarts."""

import asyncio
import contextlib
import shutil
import socket
import sys

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError

from artcafe_common.dev import moto
from artcafe_common.installation.user_pool import APP_CLIENT, DEMO_PASSWORD, DEMO_USER, ensure_user_pool
from support.aws import aws_environment
from support.waiting import eventually

REGION = "us-east-1"


class Server:
    def __init__(self, directory):
        # Run as one file, as in its container.
        self.script = shutil.copy(moto.__file__, directory / "aws_server.py")
        self.state = directory / "state"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.aws_url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def environ(self):
        return {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_ENDPOINT_URL": self.aws_url}

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(self.script), str(self.port), "--state", str(self.state)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

        async def answers():
            with contextlib.suppress(BotoCoreError):
                async with self.client("dynamodb") as dynamodb:
                    return await dynamodb.list_tables()

        await eventually(answers, within=30)

    async def stop(self):
        self.process.terminate()
        await asyncio.wait_for(self.process.wait(), 15)

    def client(self, service):
        return get_session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.aws_url,
            aws_access_key_id="a",
            aws_secret_access_key="a",
        )


@pytest.fixture
async def server(tmp_path):
    running = Server(tmp_path)
    await running.start()
    yield running
    await running.stop()


async def log_in(server, pool):
    async with server.client("cognito-idp") as cognito:
        tokens = await cognito.initiate_auth(
            ClientId=pool.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": DEMO_USER, "PASSWORD": DEMO_PASSWORD},
        )
        return await cognito.get_user(AccessToken=tokens["AuthenticationResult"]["AccessToken"])


async def test_tables_users_and_keys_survive_a_restart(server):
    with aws_environment(server):
        pool = await ensure_user_pool(server.aws_url, REGION)
        assert pool.issuer.endswith(pool.jwks_url.split("/")[3])
        async with server.client("dynamodb") as dynamodb:
            await dynamodb.create_table(
                TableName="things",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            await dynamodb.put_item(TableName="things", Item={"id": {"S": "1"}, "sealed": {"B": b"\xff"}})
        user = await log_in(server, pool)

        await server.stop()
        await server.start()
        assert await ensure_user_pool(server.aws_url, REGION) == pool
        assert (await log_in(server, pool))["UserAttributes"] == user["UserAttributes"]
        async with server.client("cognito-idp") as cognito:
            pool_id = pool.issuer.rsplit("/", 1)[1]
            clients = (await cognito.list_user_pool_clients(UserPoolId=pool_id))["UserPoolClients"]
            assert [each["ClientName"] for each in clients] == [APP_CLIENT]
        async with server.client("dynamodb") as dynamodb:
            found = await dynamodb.get_item(TableName="things", Key={"id": {"S": "1"}})
            assert found["Item"]["sealed"] == {"B": b"\xff"}
