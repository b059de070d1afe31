"""A system of compose.yaml, started from a copy of the sources as a fresh clone has them."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import uuid

import httpx
import pytest
from websockets.asyncio.client import connect

from support.docker import copy_sources, docker, has_image, missing_engine

UP_WITHIN_S = 900
IMAGES = ("python:3.13-slim-trixie", "nats:2", "valkey/valkey:8", "motoserver/moto:5", "nginx:1")
SERVICES = ("gateway", "identity", "tenancy", "presence", "metering")


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Compose:
    """One project of docker compose, with ports of its own."""

    def __init__(self, directory, project, *, https_port, nats_port, files=(), **environ):
        self.directory = directory
        self.files = [option for file in files for option in ("--file", file)]
        self.project = project
        self.https_port = https_port
        self.nats_port = nats_port
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ARTCAFE_", "AWS_", "COMPOSE_"))
        }
        self.environ = {
            **inherited,
            "ARTCAFE_HTTPS_PORT": str(https_port),
            "ARTCAFE_NATS_PORT": str(nats_port),
            "ARTCAFE_IMAGE_TAG": "test",
            **environ,
        }

    def run(self, *arguments, check=True, timeout=120):
        """Run `docker compose` with these arguments."""
        return docker(
            *("compose", "--project-name", self.project, *self.files, *arguments),
            check=check,
            timeout=timeout,
            cwd=self.directory,
            env=self.environ,
        )

    async def up(self, *arguments):
        """The command of the README, with further arguments."""
        try:
            await asyncio.to_thread(self.run, "up", "-d", "--wait", *arguments, timeout=UP_WITHIN_S)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def logs(self):
        """The last lines of every container."""
        return self.run("logs", "--no-color", "--tail", "15", check=False).stdout[-12000:]

    def execute(self, service, *command, check=True):
        """Run a command in the first container of a service."""
        return self.run("exec", "-T", service, *command, check=check)

    def inspect(self, service):
        """What the engine says of the containers of a service."""
        ids = self.run("ps", "--all", "--quiet", service).stdout.split()
        return json.loads(docker("inspect", *ids).stdout)

    def leftovers(self):
        """The containers, networks and volumes of this project."""
        label = f"label=com.docker.compose.project={self.project}"
        return [
            line
            for kind in (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
            for line in docker(*kind, "--quiet", "--filter", label).stdout.split()
        ]

    def tls(self):
        """A TLS context that trusts the certificate of this system alone."""
        certificate = self.execute("nginx", "cat", "/etc/artcafe/tls/fullchain.pem").stdout
        return ssl.create_default_context(cadata=certificate)

    def http(self, host="localhost", token=""):
        """An HTTP client for one of the hosts behind nginx."""

        async def set_host(request):
            request.headers["Host"] = f"{host}:{self.https_port}"
            request.extensions["sni_hostname"] = host

        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.https_port}/api/v1",
            verify=self.tls(),
            timeout=20,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            event_hooks={"request": [set_host]},
        )

    def connect_websocket(self, host, path):
        """A WebSocket to one of the hosts behind nginx."""
        url = f"wss://{host}:{self.https_port}{path}"
        return connect(url, host="127.0.0.1", port=self.https_port, ssl=self.tls(), proxy=None)


@contextlib.asynccontextmanager
async def running_system(tmp_path_factory, **options):
    """A new system from a copy of the sources; skips where an engine or an image is missing, and leaves nothing."""
    if reason := missing_engine():
        pytest.skip(reason)
    if missing := [image for image in IMAGES if not has_image(image)]:
        pytest.skip(f"needs the images {', '.join(missing)}")
    directory = tmp_path_factory.mktemp("clone") / "artcafe-pubsub"
    copy_sources(directory)
    project = f"artcafe-test-{uuid.uuid4().hex[:8]}"
    system = Compose(directory, project, https_port=free_port(), nats_port=free_port(), **options)
    try:
        await system.up("--build")
        yield system
    finally:
        system.run("down", "--volumes", "--remove-orphans", check=False)
        assert system.leftovers() == []
