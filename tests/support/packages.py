"""Virtual environments with packages from the registry, for programs that are not of this repository."""

import subprocess
import sys
from pathlib import Path

import pytest


def create_environment(directory, *packages):
    """Create a virtual environment with packages; returns its interpreter. Skips without the registry."""
    uv = str(Path(sys.executable).parent / "uv")
    binary = str(directory / "venv/bin/python")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(directory / "venv")],
        [uv, "pip", "install", "--quiet", "--python", binary, *packages],
    ):
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"needs {' '.join(packages)} from the package registry: {error}")
        if result.returncode:
            pytest.skip(
                f"needs {' '.join(packages)} from the package registry: {result.stderr.strip()[-300:]}"
            )
    return binary
