"""Free ports for a stack of one's own."""

import socket

from artcafe_common.dev.stack import Ports


def free_ports() -> Ports:
    sockets = [socket.socket() for _ in Ports.__struct_fields__]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return Ports(**dict(zip(Ports.__struct_fields__, (s.getsockname()[1] for s in sockets), strict=True)))
    finally:
        for each in sockets:
            each.close()
