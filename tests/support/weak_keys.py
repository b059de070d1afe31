"""Ed25519 public keys for which signatures can be made without a private key."""

import base64
import struct

P = 2**255 - 19
_D = -121665 * pow(121666, -1, P) % P
_SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)
# Valid for every message by a key that is the identity: R is the identity, S is zero.
CONSTANT_SIGNATURE = (1).to_bytes(32, "little") + bytes(32)


def _add(one, other):
    (x1, y1), (x2, y2) = one, other
    product = _D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def _recover_x(y):
    """One x of the point with this y; None if there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _SQRT_MINUS_1 % P
    return x if (x * x - square) % P == 0 else None


def _order_8_point():
    """A point that generates the eight points of small order."""
    y = 2
    while True:
        x = _recover_x(y)
        if x is not None:
            point = _multiply((x, y), 2**252 + 27742317777372353535851937790883648493)
            if _multiply(point, 4) != (0, 1):
                return point
        y += 1


def _multiply(point, factor):
    result = (0, 1)
    while factor:
        if factor & 1:
            result = _add(result, point)
        point, factor = _add(point, point), factor >> 1
    return result


def small_order_encodings():
    """Every encoding, canonical or not, of the eight points of small order."""
    generator, found = _order_8_point(), set()
    for factor in range(8):
        x, y = _multiply(generator, factor)
        for encoded_y in {y, y + P} if y + P < 2**255 else {y}:
            # The sign of x = 0 is ignored by lenient decoders.
            for sign in {x & 1, 1} if x == 0 else {x & 1}:
                found.add((encoded_y | sign << 255).to_bytes(32, "little"))
    return sorted(found)


def mixed_order_encoding(raw):
    """A key plus a point of small order."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    x = _recover_x(y)
    if x & 1 != raw[31] >> 7:
        x = P - x
    x, y = _add((x, y), _order_8_point())
    return (y | (x & 1) << 255).to_bytes(32, "little")


def to_openssh(raw, kind=b"ssh-ed25519", *more):
    """Raw key bytes in OpenSSH form."""
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (kind, raw, *more))
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


def to_pem(raw):
    """Raw Ed25519 key bytes as a SubjectPublicKeyInfo in PEM form."""
    der = bytes.fromhex("302a300506032b6570032100") + raw
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"
