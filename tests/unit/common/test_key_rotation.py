"""Keys that are replaced while services run: every instance accepts the new key before one uses it."""

import time

import pytest

from artcafe_common.bus.errors import InvalidCursor
from artcafe_common.cursors import CursorCodec
from artcafe_common.installation import secret_rotation
from artcafe_common.installation.secret_rotation import Rotation, RotationInProgress, Secret
from artcafe_common.key_ring import KeyRing, TimedKey, parse_keys
from artcafe_common.settings import SettingsError

NOW = 1_800_000_000
OLD = "aa" * 32


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""

    class Clock:
        def set(self, at):
            monkeypatch.setattr(time, "time", lambda: at)

    clock = Clock()
    clock.set(NOW)
    return clock


@pytest.fixture
def directory(tmp_path):
    for name in ("cursor.key", "answers.key", "sealing.key"):
        (tmp_path / name).write_text(OLD)
    return tmp_path


def begin(directory, secret=Secret.CURSORS, overlap_s=100):
    return secret_rotation.begin(directory, secret, start_in_s=60, overlap_s=overlap_s)


async def test_new_key_is_accepted_before_it_is_used_and_the_old_one_after(clock, directory):
    """Two instances, of which one reads the new file later, understand each other at every moment."""
    early, late = (CursorCodec(KeyRing.from_file(directory / "cursor.key")) for _ in range(2))
    before = early.encode("t", "list", {"seq": 1})
    assert begin(directory) == Rotation(file="cursor.key", starts_at=NOW + 60, ends_at=NOW + 160)
    await early._keys.refresh()
    assert late.decode("t", "list", early.encode("t", "list", {"seq": 2})) == {"seq": 2}
    await late._keys.refresh()
    clock.set(NOW + 61)
    new = early.encode("t", "list", {"seq": 3})
    assert late.decode("t", "list", new) == {"seq": 3}
    assert late.decode("t", "list", before) == {"seq": 1}
    # An instance whose clock is behind.
    clock.set(NOW + 55)
    assert late.decode("t", "list", new) == {"seq": 3}
    clock.set(NOW + 161)
    assert late.decode("t", "list", new) == {"seq": 3}
    with pytest.raises(InvalidCursor):
        late.decode("t", "list", before)


@pytest.mark.parametrize(
    "content", ["", "no key", OLD[:-2], f"{OLD} since=3", f"{OLD} from=soon", f"{OLD}\nxy"]
)
async def test_unreadable_file_changes_nothing(directory, content):
    path = directory / "cursor.key"
    ring = KeyRing.from_file(path)
    path.write_text(content)
    await ring.refresh()
    assert ring.current == bytes.fromhex(OLD)
    with pytest.raises(SettingsError, match=r"cursor\.key"):
        KeyRing.from_file(path)
    path.unlink()
    await ring.refresh()
    assert ring.accepted == [bytes.fromhex(OLD)]


async def test_derived_keys_follow_their_ring(clock, directory):
    ring = KeyRing.from_file(directory / "cursor.key")
    derived = ring.derive(lambda secret: secret[:16])
    begin(directory)
    await ring.refresh()
    clock.set(NOW + 60)
    assert derived.current == ring.current[:16]
    assert [key.valid_from for key in derived.keys] == [0, NOW + 60]


def test_second_rotation_waits_for_the_first_one(clock, directory):
    begin(directory, Secret.IDEMPOTENCY)
    with pytest.raises(RotationInProgress):
        begin(directory, Secret.IDEMPOTENCY)
    clock.set(NOW + 161)
    begin(directory, Secret.IDEMPOTENCY)
    keys = parse_keys((directory / "answers.key").read_text(), directory)
    # The first one is accepted no more, and is removed.
    assert [key.valid_from for key in keys] == [NOW + 60, NOW + 161 + 60]


def test_keys_of_stored_messages_stay_in_the_file(clock, directory):
    for round_ in range(120):
        clock.set(NOW + 1000 * round_)
        begin(directory)
    keys = parse_keys((directory / "cursor.key").read_text(), directory)
    assert len(keys) == 100
    assert keys[0].secret == bytes.fromhex(OLD)
    assert (directory / "cursor.key").stat().st_mode & 0o777 == 0o600


def test_interrupted_rotation_of_the_sealing_key_is_found(clock, directory):
    assert secret_rotation.pending_seal(directory) is None
    begun = begin(directory, Secret.SEALING, overlap_s=None)
    assert secret_rotation.pending_seal(directory) == begun
    secret_rotation.finish_seal(directory)
    (key,) = parse_keys((directory / "sealing.key").read_text(), directory)
    assert key == TimedKey(secret=key.secret, valid_from=NOW + 60)
    assert key.secret != bytes.fromhex(OLD)
