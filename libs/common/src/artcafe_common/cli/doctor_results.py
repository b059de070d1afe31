"""Results of the doctor's checks, and the remedies that several checks share."""

import json
from typing import Any, Literal

import msgspec

REQUEST_TIMEOUT_S = 3.0
Status = Literal["ok", "warn", "fail"]

# By check, for failures without a more specific remedy; services have `start_command`.
_REMEDIES = {
    "nats": "nats-server -c $ARTCAFE_KEYS_DIR/nats-server.conf   # or set NATS_URL",
    "streams": "restart nats-server",
    "redis": "redis-server --appendonly yes --appendfsync everysec --save 30 1000 --maxmemory 1gb   # or set REDIS_URL",
    "sentinels": "redis-server /etc/redis/sentinel.conf --sentinel   # or set REDIS_URL",
    "dynamodb": "aws dynamodb list-tables   # the same AWS_REGION, AWS_ENDPOINT_URL and credentials",
    "jwks": "set ARTCAFE_OIDC_ISSUER, ARTCAFE_OIDC_JWKS_URL",
    "accounts": "artcafe sync-accounts",
}


class CheckResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one check; `remedy` is one line with the command that helps."""

    check: str
    status: Status
    detail: str
    remedy: str = ""
    version: str = ""


def ok(check: str, detail: str) -> CheckResult:
    """The check passed."""
    return CheckResult(check=check, status="ok", detail=detail)


def warn(check: str, detail: str, remedy: str) -> CheckResult:
    """The installation works, but should be changed."""
    return CheckResult(check=check, status="warn", detail=detail, remedy=remedy)


def fail(check: str, detail: str, remedy: str) -> CheckResult:
    """The installation does not work."""
    return CheckResult(check=check, status="fail", detail=detail, remedy=remedy)


def needs_broker(check: str) -> CheckResult:
    """The check could not run without a connection to the broker."""
    return fail(check, "cannot be checked without the broker", "fix nats first")


def default_remedy(check: str) -> str:
    """The remedy for a check that failed without a specific reason."""
    return _REMEDIES.get(check, start_command(check))


def start_command(service: str) -> str:
    """The command that starts a service."""
    return f"python -m artcafe_{service}"


def error_reason(error: BaseException) -> str:
    """The message of an error's cause, or of the error itself."""
    cause: Any = error.__cause__ or error
    return str(cause) or type(cause).__name__


def health_result(
    name: str, status: str, checks: dict[str, str], version: str, *, where: str = ""
) -> CheckResult:
    """The result for a service or gateway that reported its health."""
    place = f"{where}: " if where else ""
    failed = {check: result for check, result in checks.items() if result != "ok"}
    if status == "ok":
        detail = f"{place}answers, version {version}"
        return CheckResult(check=name, status="ok", detail=detail, version=version)
    reason = json.dumps(failed) if failed else "no failed dependency"
    return CheckResult(
        check=name,
        status="fail",
        detail=f"{place}{status}: {reason}",
        remedy=f"fix the failed dependencies; if that does not help, restart {name}: {start_command(name)}",
        version=version,
    )
