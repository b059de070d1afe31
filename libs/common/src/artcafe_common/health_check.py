"""Asks the service of this container over loopback whether it is ready; the exit code says so.

`python -m artcafe_common.health_check` is the HEALTHCHECK of the image. ARTCAFE_SERVICE names the service.
"""

import http.client
import os
import sys

TIMEOUT_S = 4.0
# The ports on which services without HTTP serve their health, unless ARTCAFE_METRICS_PORT is set.
PORTS = {"identity": "9101", "tenancy": "9102", "presence": "9103", "metering": "9104"}
OK = 200


def main() -> None:
    """Print what the service answers; fail unless it is ready."""
    service = os.environ.get("ARTCAFE_SERVICE", "gateway")
    if service == "gateway":
        port, path = os.environ.get("ARTCAFE_PORT") or "8000", "/api/v1/health/ready"
    elif service in PORTS:
        port, path = os.environ.get("ARTCAFE_METRICS_PORT") or PORTS[service], "/health"
    else:
        sys.exit(f"ARTCAFE_SERVICE names no service: {service}")
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        print(response.read(4096).decode(errors="replace"))  # noqa: T201 - shown by `docker inspect`
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{path} on port {port}: {error}")
    finally:
        connection.close()
    sys.exit(0 if response.status == OK else 1)


if __name__ == "__main__":
    main()
