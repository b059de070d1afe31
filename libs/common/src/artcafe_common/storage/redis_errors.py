"""The states in which Redis cannot serve a request, told from the client's errors.

A server names its state with the first word of an error reply. Redis 6 wraps the reply of a command that a script
called (`ERR Error running script …: -OOM command not allowed …`); Redis 7 and Valkey reply with it unwrapped. A
pipeline puts the command in front.
"""

import re
from enum import StrEnum

import redis.exceptions


class RedisState(StrEnum):
    """What is wrong with Redis. NO_SCRIPT is repaired by the client, so callers see it only while Redis restarts."""

    AWAY = "away"
    TIMEOUT = "timeout"
    LOADING = "loading"
    BUSY = "busy"
    NO_PRIMARY = "no_primary"
    REFUSED = "refused"
    NO_SCRIPT = "no_script"
    READ_ONLY = "read_only"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FAILED = "disk_failed"
    NO_REPLICAS = "no_replicas"


# What health checks and errors say.
DETAILS = {
    RedisState.AWAY: "Redis is not reachable",
    RedisState.TIMEOUT: "Redis did not respond in time",
    RedisState.LOADING: "Redis is loading its data (LOADING)",
    RedisState.BUSY: "Redis is busy with a script (BUSY)",
    RedisState.NO_PRIMARY: "Redis is a replica without its primary (MASTERDOWN)",
    RedisState.REFUSED: "Redis refuses this client",
    RedisState.NO_SCRIPT: "Redis has lost a script (NOSCRIPT)",
    RedisState.READ_ONLY: "Redis is a replica and refuses writes (READONLY)",
    RedisState.OUT_OF_MEMORY: "Redis is out of memory and refuses writes (OOM)",
    RedisState.DISK_FAILED: "Redis cannot save to its disk and refuses writes (MISCONF)",
    RedisState.NO_REPLICAS: "Redis has too few replicas and refuses writes (NOREPLICAS)",
}
# Reads succeed in these states, so a read that succeeds does not end them.
REFUSING_WRITES = frozenset(
    {RedisState.READ_ONLY, RedisState.OUT_OF_MEMORY, RedisState.DISK_FAILED, RedisState.NO_REPLICAS}
)
# By the first word of an error reply. Others, such as ERR and WRONGTYPE, are a fault of the command.
_WORDS = {
    "BUSY": RedisState.BUSY,
    "CLUSTERDOWN": RedisState.AWAY,
    "LOADING": RedisState.LOADING,
    "MASTERDOWN": RedisState.NO_PRIMARY,
    "MISCONF": RedisState.DISK_FAILED,
    "NOAUTH": RedisState.REFUSED,
    "NOPERM": RedisState.REFUSED,
    "NOREPLICAS": RedisState.NO_REPLICAS,
    "NOSCRIPT": RedisState.NO_SCRIPT,
    "OOM": RedisState.OUT_OF_MEMORY,
    "READONLY": RedisState.READ_ONLY,
    "TRYAGAIN": RedisState.AWAY,
    "UNKILLABLE": RedisState.BUSY,
    "WRONGPASS": RedisState.REFUSED,
}
_REFUSED_TEXT = "max number of clients reached"
# The client removes the word of some errors, and has it in `status_code`, which a pipeline keeps.
_WORD = re.compile(
    r"^(?:ERR )?(?:Command # \d+ \(.*\) of pipeline caused error: \W*)?"
    r"(?:ERR )?(?:Error running script.*?: ?-)?([A-Z]+)\b",
    re.DOTALL,
)


def state_of(error: BaseException) -> RedisState | None:
    """The state that an error of the Redis client tells of; None for a fault of the command itself."""
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return RedisState.LOADING
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.AuthorizationError):
        return RedisState.REFUSED
    if isinstance(error, redis.exceptions.TimeoutError | TimeoutError):
        return RedisState.TIMEOUT
    if isinstance(error, redis.exceptions.ConnectionError | OSError):
        return RedisState.REFUSED if _REFUSED_TEXT in str(error) else RedisState.AWAY
    if isinstance(error, redis.exceptions.RedisError):
        word = _WORD.match(str(error))
        return _WORDS.get(error.status_code or "") or (_WORDS.get(word[1]) if word else None)
    return None
