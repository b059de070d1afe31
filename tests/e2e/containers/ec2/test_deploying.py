"""deploy.sh: new revisions, bad ones, and the way back."""

import asyncio
import os
import re
import subprocess

import pytest

from support.docker import ROOT, copy_sources
from support.ec2_host import BUCKET, INSTANCE, SERVICES, UNITS
from support.fakes.ssm import FakeSsm

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]


def deploy(host, aws_cli, *arguments, hosts=INSTANCE, ssm_url=None):
    """Run deploy.sh as an operator does, against the emulator or another endpoint for Systems Manager."""
    environ = {
        "PATH": f"{aws_cli}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        **host.aws_environ,
    }
    command = [ROOT / "deploy/ec2/deploy.sh", "--bucket", BUCKET, "--hosts", hosts, *map(str, arguments)]
    if ssm_url is not None:
        environ["AWS_ENDPOINT_URL_SSM"] = ssm_url
    return subprocess.run(
        command,
        check=False,
        env={**environ, "ARTCAFE_POLL_S": "0.1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def sent_commands(host):
    """The commands of the last deployment, as the hosts' agent gets them."""
    commands = host.aws("ssm").list_commands()["Commands"]
    last = max(commands, key=lambda each: each["RequestedDateTime"])
    assert last["DocumentName"] == "AWS-RunShellScript"
    assert last["InstanceIds"] == [INSTANCE]
    return last["Parameters"]["commands"]


def tarball(directory, **files):
    """A source tree of the working tree's files, with some of them replaced."""
    tree = directory / "tree"
    copy_sources(tree)
    for path, text in files.items():
        (tree / path).write_text(text)
    archive = directory / "source.tar.gz"
    subprocess.run(["tar", "-C", tree, "-czf", archive, "."], check=True)
    return archive


async def test_deploy_sends_commands_that_bring_the_new_revision(host, aws_cli, tmp_path):
    result = deploy(host, aws_cli, "--name", "second", tarball(tmp_path))
    assert result.returncode == 0, result.stderr
    assert f"second is deployed to: {INSTANCE}" in result.stdout
    commands = sent_commands(host)
    assert commands[0] == "set -eu"
    assert commands[1].startswith("curl ")
    assert f"{host.aws_url}/{BUCKET}/releases/second-" in commands[1].replace("\\", "")
    assert "sha256sum --check" in commands[2]
    assert (
        commands[3]
        == "/opt/artcafe/artcafe-pubsub/deploy/ec2/release.sh second /var/tmp/artcafe-second.tar.gz"
    )
    assert commands[4] == "rm -f /var/tmp/artcafe-second.tar.gz"
    done = await asyncio.to_thread(host.run, "\n".join(commands))
    print(done.stdout)
    assert "artcafe: revision second is ready on host-1" in done.stdout
    for service in SERVICES:
        assert f"{service}: ready, version " in done.stdout
    host.revision = "second"
    await host.wait_until_healthy()
    assert host.read("readlink /opt/artcafe/artcafe-pubsub").endswith("/second")


async def test_a_revision_that_does_not_get_ready_is_rolled_back(host, aws_cli, tmp_path):
    broken = {"services/metering/src/artcafe_metering/__main__.py": 'raise SystemExit("broken")\n'}
    result = deploy(host, aws_cli, "--name", "broken", tarball(tmp_path, **broken))
    assert result.returncode == 0, result.stderr  # the emulator's agent runs nothing
    failed = await asyncio.to_thread(
        host.run, "export ARTCAFE_READY_WITHIN_S=15\n" + "\n".join(sent_commands(host)), check=False
    )
    print(failed.stdout, failed.stderr)
    assert failed.returncode != 0
    assert "broken did not get ready on host-1; rolled back to second" in failed.stderr
    host.revision = "second"
    await host.wait_until_healthy()
    assert host.read("readlink /opt/artcafe/artcafe-pubsub").endswith("/second")
    assert host.states() == ["active"] * len(UNITS)


async def test_a_host_that_is_not_ready_for_a_revision_keeps_the_present_one(host):
    started = host.read(f"systemctl show -P ActiveEnterTimestampMonotonic {' '.join(UNITS)}")
    host.run("cp /etc/artcafe/artcafe.env /root/ && echo ARTCAFE_PORT=http >> /etc/artcafe/artcafe.env")
    failed = host.run("/opt/artcafe/artcafe-pubsub/deploy/ec2/release.sh first", check=False)
    host.run("cat /root/artcafe.env > /etc/artcafe/artcafe.env")
    assert failed.returncode != 0
    assert "gateway: ARTCAFE_PORT is not valid" in failed.stdout
    assert "this host is not ready for first; second goes on" in failed.stderr
    assert host.read(f"systemctl show -P ActiveEnterTimestampMonotonic {' '.join(UNITS)}") == started


def test_deploy_by_git_revision_uploads_what_git_has(host, aws_cli):
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], check=False, capture_output=True).returncode:
        pytest.skip("not a git repository")
    result = deploy(host, aws_cli, "HEAD")
    assert result.returncode == 0, result.stderr
    name = re.search(r"release\.sh ([0-9a-f]{12}) ", sent_commands(host)[3])[1]
    (key,) = [
        each["Key"]
        for each in host.aws("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
        if each["Key"].startswith(f"releases/{name}-")
    ]
    archive = host.aws("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    names = (
        subprocess.run(["tar", "-tz"], input=archive, capture_output=True, check=True).stdout.decode().split()
    )
    assert {"deploy/ec2/install.sh", "requirements-server.lock", "services/gateway/pyproject.toml"} <= set(
        names
    )
    assert deploy(host, aws_cli, "no-such-revision").returncode == 1


async def test_rolling_back_to_the_release_before(host, aws_cli):
    result = deploy(host, aws_cli, "--roll-back", "first")
    assert result.returncode == 0, result.stderr
    assert sent_commands(host) == ["set -eu", "/opt/artcafe/artcafe-pubsub/deploy/ec2/release.sh first"]
    await asyncio.to_thread(host.run, "\n".join(sent_commands(host)))
    host.revision = "first"
    await host.wait_until_healthy()


async def test_hosts_get_a_revision_one_after_another_until_one_fails(host, aws_cli, tmp_path):
    """Here the commands are run as they are sent; both instances are this host."""
    broken = tarball(
        tmp_path, **{"services/gateway/src/artcafe_gateway/__main__.py": 'raise SystemExit("broken")\n'}
    )

    def run(_instance, script):
        return host.run(f"export ARTCAFE_READY_WITHIN_S=30\n{script}", check=False)

    ssm = FakeSsm(run)
    with ssm.serve() as url:
        options = {"hosts": f"{INSTANCE} i-1", "ssm_url": url}
        good = await asyncio.to_thread(deploy, host, aws_cli, "--roll-back", "second", **options)
        assert good.returncode == 0, good.stderr
        assert [instance for instance, _ in ssm.sent] == [INSTANCE, "i-1"]
        assert "i-1: artcafe: revision second is ready on host-1" in good.stdout
        ssm.sent.clear()
        bad = await asyncio.to_thread(deploy, host, aws_cli, "--name", "bad", broken, **options)
    assert bad.returncode == 1
    assert [instance for instance, _ in ssm.sent] == [INSTANCE]
    assert f"{INSTANCE}: artcafe: bad did not get ready on host-1; rolled back to second" in bad.stderr
    assert f"{INSTANCE} did not take bad; the deployment ends here" in bad.stderr
    host.revision = "second"
    await host.wait_until_healthy()
