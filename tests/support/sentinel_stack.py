"""A stack with a Redis that has a replica, and three Sentinels that choose which of the two is the primary."""

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from artcafe_common.dev.stack import LOOPBACK, Stack
from support.stack import free_ports

SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
PRIMARY_NAME = "artcafe"
PASSWORD, SENTINEL_PASSWORD = "of redis/+", "of-sentinel"
# Sentinel then calls a primary dead.
DOWN_AFTER_MS = 1000


class SentinelStack(Stack):
    """`redis` and `redis-replica`, of which one is the primary. Every connection needs a password."""

    def __init__(self, directory, ports, *, settings=None):
        super().__init__(directory, ports, settings=settings)
        self.servers = (*self.servers, "redis-replica", *SENTINELS)
        more = free_ports()
        self.redis_ports = {"redis": ports.redis, "redis-replica": more.redis}
        self._sentinel_ports = dict(zip(SENTINELS, (more.api, more.nats, more.moto), strict=True))

    def prepare(self):
        super().prepare()
        (self.directory / "data/redis-replica").mkdir()
        for name, port in self._sentinel_ports.items():
            (self.directory / f"data/{name}").mkdir()
            self._config(name).write_text(f"""
bind {LOOPBACK}
port {port}
dir {self.directory}/data/{name}
requirepass {SENTINEL_PASSWORD}
sentinel monitor {PRIMARY_NAME} {LOOPBACK} {self.ports.redis} 2
sentinel auth-pass {PRIMARY_NAME} "{PASSWORD}"
sentinel down-after-milliseconds {PRIMARY_NAME} {DOWN_AFTER_MS}
sentinel failover-timeout {PRIMARY_NAME} 4000
""")

    def _config(self, name):
        return self.directory / f"data/{name}/sentinel.conf"

    def _server_command(self, name):
        is_redis = name in self.redis_ports or name in SENTINELS
        command = super()._server_command("redis" if is_redis else name)
        if name in SENTINELS:
            return [command[0], str(self._config(name)), "--sentinel"]
        if name not in self.redis_ports:
            return command
        command[command.index("--port") + 1] = str(self.redis_ports[name])
        command[command.index("--dir") + 1] = str(self.directory / "data" / name)
        command += ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        if name == "redis-replica":
            command += ["--replicaof", LOOPBACK, str(self.ports.redis)]
        return command

    def environ(self, service=""):
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self._sentinel_ports.values())
        url = f"redis+sentinel://:of%20redis%2F%2B@{hosts}/{PRIMARY_NAME}/0?sentinel_password={SENTINEL_PASSWORD}"
        return {**super().environ(service), "REDIS_URL": url, **self.settings}

    async def find_primary(self):
        """The name of the server that the Sentinels call the primary."""
        sentinels = [(LOOPBACK, port) for port in self._sentinel_ports.values()]
        async with Sentinel(sentinels, sentinel_kwargs={"password": SENTINEL_PASSWORD}) as sentinel:
            _, port = await sentinel.discover_master(PRIMARY_NAME)
        return next(name for name, each in self.redis_ports.items() if each == port)

    async def find_replicated_primary(self):
        """The primary if its replica is up to date, and the Sentinels know of it; else None."""
        try:
            name = await self.find_primary()
            async with self.connect_redis(name) as redis:
                info = await redis.info("replication")
        except (RedisError, OSError):
            return None
        return name if info["role"] == "master" and info.get("slave0", {}).get("state") == "online" else None

    def connect_redis(self, name):
        """A connection to one of the two servers."""
        return Redis(port=self.redis_ports[name], password=PASSWORD, decode_responses=True)

    async def fail_over(self):
        """Have the Sentinels make the replica the primary, though the primary runs."""
        async with Redis(port=self._sentinel_ports[SENTINELS[0]], password=SENTINEL_PASSWORD) as redis:
            await redis.execute_command("SENTINEL", "FAILOVER", PRIMARY_NAME)
