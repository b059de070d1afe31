"""The template of what is used of AWS, and the commands of docs/operate/install.md that create it."""

import json
import os
import subprocess

import pytest

from artcafe_common.storage.create import installed_tables
from support.docker import ROOT
from support.ec2_host import EMAIL
from support.snippets import snippets

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]
COMMANDS = snippets("docs/operate/install.md")
# Where the host has no tables.
REGION = "eu-west-1"


@pytest.fixture
def run(host, aws_cli):
    """Run shell commands with the AWS command line, as an operator does."""

    def run(commands, **environ):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=ROOT,
            env={**host.aws_environ, "PATH": f"{aws_cli}:{os.environ['PATH']}", "HOME": "/", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_template_is_valid(run):
    assert run("cfn-lint deploy/ec2/cloudformation.yaml") == ""


def test_documented_command_creates_the_tables(run):
    """The emulator creates no pool and no alarms of a template."""
    here = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    assert "Successfully created/updated stack - artcafe" in run(COMMANDS["stack.sh"], **here)
    tables = json.loads(run("aws dynamodb list-tables --output json", **here))["TableNames"]
    assert set(tables) == {f"artcafe-{spec.name}" for spec in installed_tables()}


def test_documented_command_adds_a_person(host, run):
    cognito = host.aws("cognito-idp")
    (pool,) = [each["Id"] for each in cognito.list_user_pools(MaxResults=10)["UserPools"]]
    command = COMMANDS["person.sh"].replace("POOL_ID", pool).replace("ada@", "grace@")
    assert EMAIL not in command
    created = json.loads(run(command))["User"]
    assert created["UserStatus"] == "FORCE_CHANGE_PASSWORD"
