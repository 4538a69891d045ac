"""The console's files as they are served."""

import gzip
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from longline.console.site import POLICY, Site

FILES = Path(str(files("longline.console"))) / "files"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    site = Site(PlainTextResponse("others"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://node.test") as client:
        yield client


async def test_every_file_is_served_under_the_policy(http: httpx.AsyncClient) -> None:
    for file in FILES.rglob("*.*"):
        answer = await http.get(f"/console/{file.relative_to(FILES)}")
        assert answer.status_code == 200, file
        assert answer.content == file.read_bytes()
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-type"].startswith(TYPES.get(file.suffix, "text/plain"))


async def test_the_policy_lets_nothing_in_from_elsewhere_and_nothing_inline() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    for kind in ("script-src", "style-src", "connect-src"):
        assert rules[kind] == "'self'"
    for kind in ("form-action", "frame-ancestors", "base-uri"):
        assert rules[kind] == "'none'"
    assert "unsafe" not in POLICY


async def test_the_address_without_a_slash_leads_to_the_page(http: httpx.AsyncClient) -> None:
    """Relative, so that it holds behind a proxy that has the node below a path of its own."""
    answer = await http.get("/console")
    assert (answer.status_code, answer.headers["location"]) == (307, "console/")
    page = await http.get("/console", follow_redirects=True)
    assert page.url.path == "/console/"
    assert "<title>Longline</title>" in page.text


async def test_what_a_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/console/main.js")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for given in (tag, f'"other", {tag}'):
        again = await http.get("/console/main.js", headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
    assert (await http.get("/console/main.js", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_files_are_packed_for_who_can_unpack_them(http: httpx.AsyncClient) -> None:
    async with http.stream("GET", "/console/app.css", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == (FILES / "app.css").read_bytes()
    plain = await http.get("/console/app.css", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    head = await http.head("/console/app.css", headers={"Accept-Encoding": "identity"})
    assert (head.content, head.headers["content-length"]) == (b"", plain.headers["content-length"])


@pytest.mark.parametrize(
    "path",
    [
        "/console/site.py",
        "/console/%2e%2e/site.py",
        "/console/..%2fsite.py",
        "/console//etc/passwd",
        "/console/pages",
        "/console/pages/",
        "/console/main.js/",
        "/console/nothing.js",
    ],
)
async def test_nothing_but_the_files_is_served(http: httpx.AsyncClient, path: str) -> None:
    request = http.build_request("GET", "http://node.test/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await http.send(request)
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize("path", ["/", "/v1/apps", "/consoles", "/console.js"])
async def test_every_other_address_is_left_to_the_others(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).text == "others"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_files_are_only_read(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/console/main.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_no_page_has_script_or_style_inline_or_anything_from_elsewhere() -> None:
    page = (FILES / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]


def test_no_module_makes_markup_of_text() -> None:
    """What comes from devices and apps gets into a page as text alone."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc"
        r"|\beval\(|new Function|setHTML|\bimportScripts|setTimeout\(\s*['\"]"
    )
    for file in FILES.rglob("*.js"):
        assert not forbidden.search(file.read_text()), file


def test_every_module_imports_files_that_are_there() -> None:
    for file in FILES.rglob("*.js"):
        for named in re.findall(r"""(?:from |import |import\()["']([^"'$\n]+)["']""", file.read_text()):
            assert (file.parent / named).resolve().is_file(), (file, named)


def test_what_others_wrote_is_kept_with_its_licence_and_version() -> None:
    vendored = FILES / "vendor"
    assert "v1.6.32" in (vendored / "uplot.js").read_text()[:400]
    assert "MIT" in (vendored / "uplot.LICENSE.txt").read_text()
    assert "1.6.32" in (vendored / "README.txt").read_text()
