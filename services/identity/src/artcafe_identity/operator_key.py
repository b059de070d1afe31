"""The operator's key, which follows its file: `artcafe keys rotate operator` replaces it."""

from pathlib import Path
from typing import Self

import structlog

from artcafe_common.broker.nkeys import InvalidNKeyError, KeyPair
from artcafe_common.settings import SettingsError, read_key

log = structlog.get_logger()


class OperatorKey:
    """The key that signs accounts."""

    def __init__(self, pair: KeyPair, path: Path | None = None) -> None:
        self.pair = pair
        self._path = path

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the key. Raises SettingsError."""
        return cls(_read(path), path)

    async def refresh(self) -> None:
        """Read the file again; keeps the key if it cannot be read."""
        if self._path is None:
            return
        try:
            pair = _read(self._path)
        except SettingsError as error:
            log.warning("operator_key_not_refreshed", reason=str(error))
            return
        if pair.public != self.pair.public:
            self.pair = pair
            log.info("operator_key_refreshed", operator=pair.public)


def _read(path: Path) -> KeyPair:
    try:
        return KeyPair(read_key(path))
    except InvalidNKeyError:
        raise SettingsError(f"ARTCAFE_KEYS_DIR: {path} contains no NKey seed") from None
