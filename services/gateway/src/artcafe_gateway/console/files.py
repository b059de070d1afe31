"""The files of the built console, as HTTP serves them."""

import functools
import gzip
import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

PAGE = "index.html"
# Files whose names contain a digest of their contents.
ASSETS = "assets/"
# Smaller ones do not get smaller.
_MIN_COMPRESSED_BYTES = 1024


class ConsoleFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file; `compressed` is its content in gzip, None where that is not worth it."""

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str
    immutable: bool


@functools.cache
def load_files() -> dict[str, ConsoleFile]:
    """Every file by its path below `/console`; none if the console was not built."""
    return {path: _load(path, each) for path, each in _walk(files(__package__) / "static", "")}


def _walk(directory: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    if not directory.is_dir():
        return []
    found: list[tuple[str, Traversable]] = []
    for each in directory.iterdir():
        if each.is_dir():
            found += _walk(each, f"{prefix}{each.name}/")
        else:
            found.append((prefix + each.name, each))
    return found


def _load(path: str, file: Traversable) -> ConsoleFile:
    content = file.read_bytes()
    compressed = gzip.compress(content, mtime=0) if len(content) >= _MIN_COMPRESSED_BYTES else content
    return ConsoleFile(
        content=content,
        compressed=compressed if len(compressed) < len(content) else None,
        media_type=mimetypes.guess_type(path)[0] or "application/octet-stream",
        etag=f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"',
        immutable=path.startswith(ASSETS),
    )
