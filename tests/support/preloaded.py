"""What the process that services are forked from imports and reads (support/forked.py)."""

import asyncio
import gc
import importlib

from artcafe_common.dev.stack import REGION
from artcafe_common.storage.aws_session import aws_session

MODULES = (
    *(f"artcafe_{name}.app" for name in ("gateway", "identity", "metering", "presence", "tenancy")),
    *("artcafe_common.dev.moto", *(f"moto.{name}.urls" for name in ("cognitoidp", "dynamodb", "s3"))),
    "support.forked",
)


async def read_descriptions():
    """Let the AWS SDK read the descriptions of the services that ours use."""
    for service in ("dynamodb", "cognito-idp"):
        async with aws_session().create_client(
            service, region_name=REGION, aws_access_key_id="none", aws_secret_access_key="none"
        ):
            pass


for module in MODULES:
    importlib.import_module(module)
asyncio.run(read_descriptions())
# A service collects garbage as soon as it is ready; the modules would take most of that time.
gc.collect()
gc.freeze()
