"""A container that stands in for an EC2 instance (Debian 12 with systemd), and moto beside it for AWS."""

import ssl
import subprocess
import time
import uuid
from contextlib import asynccontextmanager

import boto3
import httpx
import nats
from botocore.exceptions import BotoCoreError, ClientError
from websockets.asyncio.client import connect

from support.docker import ROOT, docker
from support.waiting import eventually

IMAGE, MOTO_IMAGE = "ec2-host:12", "motoserver/moto:5"
API_HOST, WS_HOST, NATS_HOST = "api.artcafe.test", "ws.artcafe.test", "nats.artcafe.test"
EMAIL, PASSWORD = "ada@example.org", "Passw0rd!for-tests"
BUCKET = "releases"
INSTANCE = "i-0123456789abcdef0"
SERVICES = ("identity", "tenancy", "presence", "metering", "gateway")
UNITS = [
    *(f"artcafe@{name}.service" for name in SERVICES),
    "nats-server.service",
    "redis-server.service",
    "nginx.service",
]
# As on a host: mounts that systemd makes for services are visible, and it may look at all processes.
_BOOT = ["sh", "-c", "mount --make-rshared / && exec /sbin/init"]
_RUN = [
    *("--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined"),
    *("--cgroupns=private", "-e", "container=docker"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),
]


class Ec2Host:
    """One host with an empty installation, reachable as the two names with the certificate of its own."""

    def __init__(self):
        self.name = f"ec2-{uuid.uuid4().hex[:8]}"
        self.moto = f"{self.name}-moto"
        self.source = "/src"
        # Of the release that runs.
        self.revision = ""
        # What install.sh printed first.
        self.installed = ""

    def create(self):
        """Start both containers, and create the user pool, a person and the bucket."""
        docker("network", "create", self.name)
        docker("run", "-d", "--name", self.moto, "--network", self.name, MOTO_IMAGE)
        publish = ("-p", "127.0.0.1::443", "-p", "127.0.0.1::80", "-p", "127.0.0.1::4222")
        docker(
            "run",
            "-d",
            "--name",
            self.name,
            "--hostname",
            "host-1",
            "--network",
            self.name,
            *publish,
            # The engine writes /etc/hosts again at each start, as no host does.
            *("--add-host", f"{NATS_HOST}:127.0.0.1"),
            *_RUN,
            IMAGE,
            *_BOOT,
        )
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.aws_url = f"http://{docker('inspect', '-f', address, self.moto).stdout.strip()}:5000"
        self.wait_for_boot()
        self._create_certificate()
        self._create_pool()
        self.aws("s3").create_bucket(Bucket=BUCKET)
        self.copy_source(self.source)

    def _create_certificate(self):
        """A certificate for the three names, of an authority that this host trusts."""
        names = ",".join(f"DNS:{name}" for name in (API_HOST, WS_HOST, NATS_HOST))
        self.run(
            "mkdir -p -m 700 /etc/artcafe/tls && cd /etc/artcafe/tls && chmod 755 /etc/artcafe"
            f" && openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN={API_HOST}"
            f" -addext subjectAltName={names} -keyout privkey.pem -out fullchain.pem"
            " && cp fullchain.pem /usr/local/share/ca-certificates/artcafe.crt && update-ca-certificates"
        )

    def remove(self):
        docker("rm", "-f", "-v", self.name, self.moto, check=False)
        docker("network", "rm", self.name, check=False)

    def wait_for_boot(self):
        """Wait until systemd has started what it starts, and read the published ports."""
        deadline = time.monotonic() + 60
        while self.run("systemctl is-system-running", check=False).stdout.strip() not in (
            "running",
            "degraded",
            "starting",
        ):
            assert time.monotonic() < deadline, "systemd did not start"
            time.sleep(0.5)
        self.https_port = self._published_port(443)
        self.nats_port = self._published_port(4222)

    def _published_port(self, port):
        return int(docker("port", self.name, f"{port}/tcp").stdout.split()[0].rpartition(":")[2])

    def run(self, command, *, check=True, timeout=600, stdin=None):
        """Run a shell command on the host as root; returns the finished process."""
        return docker(
            "exec",
            *(["-i"] if stdin else []),
            self.name,
            "sh",
            "-c",
            command,
            check=check,
            timeout=timeout,
            input=stdin,
        )

    def read(self, command):
        return self.run(command).stdout.strip()

    def install(self, *options, revision=""):
        """Run install.sh, by default for the release that runs; returns its output."""
        self.revision = revision or self.revision
        command = f"{self.source}/deploy/ec2/install.sh --revision {self.revision} {' '.join(options)}"
        return self.run(f"{command} 2>&1", timeout=900).stdout

    def states(self):
        """Whether each unit is active."""
        return self.read(f"systemctl is-active {' '.join(UNITS)} || true").split()

    async def wait_until_healthy(self, within=120):
        """Wait until all services are healthy, and the gateway runs the host's release."""

        async def healthy():
            body = self.run("curl -s --max-time 5 http://127.0.0.1:8000/api/v1/health", check=False).stdout
            return f'"revision":"{self.revision}"' in body and body.startswith('{"status":"ok"')

        await eventually(healthy, within=within)

    def copy_source(self, directory):
        """Copy the working tree's files to the host."""
        names = subprocess.run(
            [
                "git",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                "deploy",
                "libs",
                "services",
                "*.lock",
            ],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        archive = subprocess.run(
            ["tar", "-C", ROOT, "-c", "--null", "-T", "-"],
            input=names,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        extract = [
            "docker",
            "exec",
            "-i",
            self.name,
            "sh",
            "-c",
            f"mkdir -p {directory} && tar -C {directory} -x",
        ]
        subprocess.run(extract, input=archive, check=True, timeout=120)

    def write(self, path, text, mode="0640", owner="root:ubuntu"):
        self.run(
            f"mkdir -p $(dirname {path}) && cat > {path} && chown {owner} {path} && chmod {mode} {path}",
            stdin=text,
        )

    # -- AWS -----------------------------------------------------------------------------------

    @property
    def aws_environ(self):
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def aws(self, service):
        return boto3.client(
            service,
            endpoint_url=self.aws_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def _create_pool(self):
        cognito = self.aws("cognito-idp")
        deadline = time.monotonic() + 60
        while True:
            try:
                pool = cognito.create_user_pool(PoolName="artcafe")["UserPool"]["Id"]
                break
            except (BotoCoreError, ClientError):
                assert time.monotonic() < deadline, "moto does not answer"
                time.sleep(0.5)
        app = cognito.create_user_pool_client(
            UserPoolId=pool,
            ClientName="artcafe",
            ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        )
        attributes = [{"Name": "email", "Value": EMAIL}]
        cognito.admin_create_user(
            UserPoolId=pool, Username=EMAIL, UserAttributes=attributes, MessageAction="SUPPRESS"
        )
        cognito.admin_set_user_password(UserPoolId=pool, Username=EMAIL, Password=PASSWORD, Permanent=True)
        settings = {
            **self.aws_environ,
            "ARTCAFE_OIDC_ISSUER": f"https://cognito-idp.us-east-1.amazonaws.com/{pool}",
            "ARTCAFE_OIDC_CLIENT_ID": app["UserPoolClient"]["ClientId"],
            "ARTCAFE_OIDC_JWKS_URL": f"{self.aws_url}/{pool}/.well-known/jwks.json",
            "ARTCAFE_DEFAULT_PLAN": "enterprise",
            "ARTCAFE_GATEWAY_WORKERS": "2",
            "ARTCAFE_PUBLIC_WEBSOCKET_URL": f"wss://{WS_HOST}",
        }
        self.write(
            "/etc/artcafe/artcafe.env", "".join(f"{name}={value}\n" for name, value in settings.items())
        )

    # -- clients -------------------------------------------------------------------------------

    def tls(self):
        """A context that trusts the host's certificate alone."""
        return ssl.create_default_context(cadata=self.read("cat /etc/artcafe/tls/fullchain.pem"))

    @asynccontextmanager
    async def sign_in(self, tenant_id=""):
        """An HTTP client for the API, signed in as the person."""
        headers = {"X-Tenant-Id": tenant_id} if tenant_id else {}
        async with self.http(path="/api/v1", headers=headers) as http:
            response = await http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
            assert response.status_code == 200, response.text
            http.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
            yield http

    def http(self, host=API_HOST, path="", **options):
        """An HTTP client that reaches the host under a name."""
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.https_port}{path}",
            transport=_Named(host, httpx.AsyncHTTPTransport(verify=self.tls(), http2=False)),
            timeout=20,
            **options,
        )

    async def connect_nats(self, seed, **options):
        """A direct client with TLS."""
        return await nats.connect(
            f"tls://127.0.0.1:{self.nats_port}",
            nkeys_seed_str=seed,
            tls=self.tls(),
            tls_hostname=NATS_HOST,
            **options,
        )

    def connect_websocket(self, path, **options):
        return connect(
            f"wss://{WS_HOST}{path}",
            **options,
            host="127.0.0.1",
            port=self.https_port,
            ssl=self.tls(),
            compression=None,
            proxy=None,
        )


class _Named(httpx.AsyncBaseTransport):
    """Sends requests with another host's name, in TLS too."""

    def __init__(self, host, transport):
        self._host = host
        self._transport = transport

    async def handle_async_request(self, request):
        request.headers["Host"] = self._host
        request.extensions = {**request.extensions, "sni_hostname": self._host}
        return await self._transport.handle_async_request(request)

    async def aclose(self):
        await self._transport.aclose()
