"""Files that only their owner can read."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write `text` to a file of mode 0600, replacing its content."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def replace_private(path: Path, text: str) -> None:
    """Replace a file of mode 0600 at once, so that no reader sees a part of it; its owner stays."""
    partial = path.with_name(f".{path.name}.partial")
    write_private(partial, text)
    if os.geteuid() == 0 and path.exists():
        owner = path.stat()
        os.chown(partial, owner.st_uid, owner.st_gid)
    partial.replace(path)
