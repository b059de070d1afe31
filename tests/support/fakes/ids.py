"""Well-formed ids and keys for tests without a stack."""

from artcafe_common.key_ring import KeyRing
from artcafe_gateway.delivery.signatures import MessageSigner

TENANT = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDE"
OTHER_TENANT = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDF"
CLIENT = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDG"
OTHER_CLIENT = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDH"
CHANNEL = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDJ"
SIGNING_KEYS = KeyRing.of(b"k" * 32)
SIGNER = MessageSigner(SIGNING_KEYS, TENANT)
