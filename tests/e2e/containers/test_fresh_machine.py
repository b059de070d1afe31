"""Setting up on other machines: other Pythons, without a compiler."""

import uuid

import pytest

from support.docker import copy_sources, docker, has_image

VERSIONS = ("3.13", "3.14")
SETUP_WITHIN_S = 600
STORY = "tests/e2e/test_walkthrough.py"


@pytest.mark.docker
@pytest.mark.timeout(SETUP_WITHIN_S + 60)
@pytest.mark.parametrize("version", VERSIONS)
def test_setup_and_story_on_another_python_without_a_compiler(tmp_path, version):
    image = f"python:{version}-slim-trixie"
    if not has_image(image):
        pytest.skip(f"needs the image {image}")
    copy_sources(tmp_path / "sources")
    script = f"""
        set -eu
        apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends make >/dev/null
        ! command -v gcc && ! command -v cc
        cp -r /sources /artcafe && cd /artcafe
        make setup
        test "$(.venv/bin/python -c 'import platform; print(platform.python_version())' | cut -d. -f1,2)" = {version}
        .venv/bin/pytest -q {STORY}
    """
    name = f"artcafe-fresh-{uuid.uuid4().hex[:8]}"
    try:
        result = docker(
            *("run", "--rm", "--name", name, "--init", "--volume", f"{tmp_path / 'sources'}:/sources:ro"),
            *(image, "sh", "-c", script),
            timeout=SETUP_WITHIN_S,
            check=False,
        )
    finally:
        docker("rm", "--force", name, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
    assert "1 passed" in result.stdout
