"""The SDK for browsers, in headless Chromium, from a page of another origin."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ingestion.registry import CONTRACTS_FOLDER, load_registry
from tests.ingestion.collector.server import running
from tests.ingestion.messages import House
from tests.sdks.marts import events_in_mart
from tests.sdks.test_sdks import NODE_PACKAGES, SOURCES

PAGE = Path(__file__).parent / "browser.html"
SDK = NODE_PACKAGES / "@segment" / "analytics-next" / "dist" / "umd"
CHROMIUM = shutil.which("chromium")
SECONDS = 90
EVENTS = ("identified", "product_viewed", "page_viewed", "screen_viewed", "grouped", "aliased")


class _Site:
    """A page and the SDK's files beside it; remembers what the page says at its end."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.is_over = threading.Event()

    def content(self, path: str) -> bytes | None:
        name = path.partition("?")[0].removeprefix("/")
        if name in ("done", "failed"):
            self.said.append(path)
            self.is_over.set()
            return b""
        if name == "page":
            return PAGE.read_bytes()
        file = SDK / ("index.js" if name == "analytics.js" else name)
        return file.read_bytes() if file.parent == SDK and file.is_file() else None


@contextmanager
def serving(site: _Site) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = site.content(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header(
                "Content-Type", "text/html" if self.path.startswith("/page") else "text/javascript"
            )
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Nothing: the test says what went wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")
@pytest.mark.skipif(not SDK.exists(), reason="`make sdks` installs the SDK for browsers, where npm is there")
def test_what_a_page_sends_reaches_a_mart(house: House) -> None:
    site = _Site()
    with running(house) as collector, serving(site) as origin:
        place = f"{origin}/page?" + urlencode({"key": collector.key, "collector": collector.url})
        browser = subprocess.Popen(
            [
                str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-dev-shm-usage", "--no-proxy-server", "--disable-background-networking",
                "--remote-debugging-port=0",
                f"--user-data-dir={house.folder / 'chromium'}", place,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert site.is_over.wait(SECONDS)
        finally:
            browser.terminate()
            browser.wait(20)
    assert site.said == ["/done"]
    report = house.load(load_registry(CONTRACTS_FOLDER, SOURCES))
    assert (report.received, report.accepted, report.by_code) == (6, 6, {})
    assert events_in_mart(house) == dict.fromkeys(EVENTS, 1)
