"""Exit code 0 if the service in this container says that it is ready; what docker's HEALTHCHECK runs."""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_S = 4


def ready() -> bool:
    """Ask `/readyz` on loopback, at the port that the service's own setting names."""
    port = int(os.environ[f"{os.environ['SERVICE'].replace('-', '_').upper()}_HTTP_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready() else 1)
