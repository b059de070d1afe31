"""The console's files over HTTP: their policy, and how long they may be cached."""

import gzip
import re

import pytest

from support.console import STATIC, missing_console

REASON = missing_console()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


async def test_page_is_always_asked_for_and_its_files_never(http):
    page = await http.get("/console")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert not re.search(r"unsafe|http|\*", policy)
    assert not re.search(r"<style|<script>|style=|\son\w+=", page.text)
    unchanged = await http.get("/console", headers={"If-None-Match": page.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    # Every path within the page is the page, which shows what it names.
    for path in ("/console/", "/console/clients/1?tab=2", "/console/live"):
        assert (await http.get(path)).text == page.text
    names = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(names) >= 3
    for name in names:
        file = await http.get(name)
        assert file.status_code == 200, name
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["x-content-type-options"] == "nosniff"


async def test_files_are_compressed_for_those_who_can_read_it(http):
    (name,) = re.findall(r'src="([^"]+\.js)"', (STATIC / "index.html").read_text())
    content = (STATIC / name.removeprefix("/console/")).read_bytes()
    async with http.stream("GET", name, headers={"Accept-Encoding": "gzip"}) as response:
        sent = b"".join([chunk async for chunk in response.aiter_raw()])
    assert (response.headers["content-encoding"], gzip.decompress(sent)) == ("gzip", content)
    assert len(sent) < len(content) / 2
    plain = await http.get(name, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == content


async def test_file_that_is_not_there_is_not_found(http):
    for path in (
        "/console/assets/nothing.js",
        "/console/assets/..%2findex.html",
        "/console/assets/..%2f..%2ffiles.py",
    ):
        response = await http.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), path
