"""Header blocks as a direct NATS publisher writes them."""


def encode_headers(headers):
    lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in headers.items())
    return b"NATS/1.0\r\n%b\r\n" % lines
