"""The doctor's check of the certificates of every address that uses TLS."""

import asyncio
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from artcafe_common.cli.doctor_results import REQUEST_TIMEOUT_S, CheckResult, fail, ok, warn
from artcafe_common.concurrency import run_together
from artcafe_common.tls import create_tls

WARN_DAYS, FAIL_DAYS = 21, 3
DAY_S = 24 * 3600
MAX_INFO_BYTES = 64 * 1024
# The ports of URLs without one.
_PORTS = {"https": 443, "wss": 443, "tls": 4222, "rediss": 6379}
REMEDY = "renew the certificate and reload the server   # certbot renew, systemctl reload nginx"


async def check_certificates(urls: list[str], ca_file: Path | None = None) -> list[CheckResult]:
    """One result for each certificate that is not valid, or expires soon."""
    tls = create_tls(ca_file) or ssl.create_default_context()
    addresses = sorted({address for url in urls if (address := _tls_address(url)) is not None})
    if not addresses:
        return [ok("certificates", "no configured address uses TLS")]
    results = await run_together(*(asyncio.to_thread(_check, *address, tls) for address in addresses))
    problems = [result for result in results if result is not None]
    names = ", ".join(f"{host}:{port}" for host, port, _ in addresses)
    return problems or [ok("certificates", f"valid for more than {WARN_DAYS} days: {names}")]


def _tls_address(url: str) -> tuple[str, int, bool] | None:
    """Host and port of a URL that uses TLS, and whether the server speaks first, as nats-server does."""
    parts = urlsplit(url.strip())
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "tls"


def _check(host: str, port: int, speaks_first: bool, tls: ssl.SSLContext) -> CheckResult | None:  # noqa: FBT001 - for to_thread
    address = f"{host}:{port}"
    try:
        expires_at = _read_expiry(host, port, tls, speaks_first=speaks_first)
    except ssl.SSLCertVerificationError as error:
        return fail("certificates", f"{address}: {error.verify_message}", REMEDY)
    except (OSError, ValueError) as error:
        return fail("certificates", f"{address}: {error}", f"openssl s_client -connect {address}")
    days = (expires_at - time.time()) / DAY_S
    if days >= WARN_DAYS:
        return None
    report = fail if days < FAIL_DAYS else warn
    return report("certificates", f"{address}: expires in {max(days, 0):.0f} days", REMEDY)


def _read_expiry(host: str, port: int, tls: ssl.SSLContext, *, speaks_first: bool) -> float:
    with socket.create_connection((host, port), timeout=REQUEST_TIMEOUT_S) as connection:
        if speaks_first:
            read = b""
            while not read.endswith(b"\n") and len(read) < MAX_INFO_BYTES:
                part = connection.recv(1)
                if not part:
                    raise OSError("the server closed the connection")
                read += part
        with tls.wrap_socket(connection, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(certificate.get("notAfter"))))
