"""The Docker engine, for tests with the marker `docker`; it is used by its command line."""

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


@functools.cache
def missing_engine():
    """Why tests with containers cannot run here; empty if they can."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"needs a Docker engine: {error}"
    return f"needs a Docker engine: {result.stderr.strip()}" if result.returncode else ""


def has_image(name):
    """Whether an image is here, or can be pulled."""
    if docker("image", "inspect", name, check=False).returncode == 0:
        return True
    return docker("pull", "--quiet", name, check=False, timeout=300).returncode == 0


def docker(*arguments, check=True, timeout=60, **options):
    """Run a `docker` command; returns the finished process with its output as text."""
    result = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout, **options
    )
    if check and result.returncode:
        raise AssertionError(f"docker {' '.join(arguments[:4])}: {(result.stdout + result.stderr)[-4000:]}")
    return result


def copy_sources(directory):
    """Copy the files of the working tree that are not ignored, as a fresh clone has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=30,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["tar", "-C", str(directory), "-x"],
        input=subprocess.run(
            ["tar", "-C", str(ROOT), "-c", "--null", "-T", "-"],
            input="\0".join(names).encode(),
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout,
        check=True,
        timeout=60,
    )
