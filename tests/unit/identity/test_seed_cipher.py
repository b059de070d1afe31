"""Encryption of seeds: bound to the key, the tenant and the public key."""

import base64

import pytest

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.key_ring import KeyRing, TimedKey
from artcafe_identity.seed_cipher import DecryptionFailed, SeedCipher

PAIR = create_key_pair(KeyKind.ACCOUNT)
KEY = bytes(range(32))


def test_encryption_round_trip(tmp_path):
    file = tmp_path / "sealing.key"
    file.write_text(KEY.hex() + "\n")
    sealed = SeedCipher(KeyRing.from_file(file)).encrypt(PAIR.seed, tenant_id="t", public=PAIR.public)
    assert PAIR.seed.encode() not in base64.b64decode(sealed)
    assert SeedCipher(KeyRing.of(KEY)).decrypt(sealed, tenant_id="t", public=PAIR.public) == PAIR.seed
    assert SeedCipher(KeyRing.of(KEY)).encrypt(PAIR.seed, tenant_id="t", public=PAIR.public) != sealed


@pytest.mark.parametrize(
    ("tenant_id", "public"),
    [("u", PAIR.public), ("t", create_key_pair(KeyKind.ACCOUNT).public), ("", "")],
    ids=["other tenant", "other key", "neither"],
)
def test_ciphertext_is_bound_to_tenant_and_key(tenant_id, public):
    sealed = SeedCipher(KeyRing.of(KEY)).encrypt(PAIR.seed, tenant_id="t", public=PAIR.public)
    with pytest.raises(DecryptionFailed):
        SeedCipher(KeyRing.of(KEY)).decrypt(sealed, tenant_id=tenant_id, public=public)


def test_tampered_ciphertext_or_wrong_key_is_rejected():
    sealed = SeedCipher(KeyRing.of(KEY)).encrypt(PAIR.seed, tenant_id="t", public=PAIR.public)
    with pytest.raises(DecryptionFailed):
        SeedCipher(KeyRing.of(bytes(32))).decrypt(sealed, tenant_id="t", public=PAIR.public)
    raw = bytearray(base64.b64decode(sealed))
    for position in (0, 12, len(raw) - 1):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(DecryptionFailed):
            SeedCipher(KeyRing.of(KEY)).decrypt(
                base64.b64encode(changed).decode(), tenant_id="t", public=PAIR.public
            )


def test_seeds_of_the_old_key_are_decrypted_until_they_are_encrypted_again():
    old, new = TimedKey(secret=KEY), TimedKey(secret=bytes(32), valid_from=1)
    sealed = SeedCipher(KeyRing([old])).encrypt(PAIR.seed, tenant_id="t", public=PAIR.public)
    both = SeedCipher(KeyRing([old, new]))
    assert both.decrypt(sealed, tenant_id="t", public=PAIR.public) == PAIR.seed
    assert not both.is_current(sealed, tenant_id="t", public=PAIR.public)
    again = both.encrypt(PAIR.seed, tenant_id="t", public=PAIR.public)
    assert both.is_current(again, tenant_id="t", public=PAIR.public)
    assert SeedCipher(KeyRing([new])).decrypt(again, tenant_id="t", public=PAIR.public) == PAIR.seed
