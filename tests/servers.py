"""A server as a process, asked over HTTP or by a browser."""

import contextlib
import html.parser
import http.client
import json
import pathlib
import shutil
import signal
import subprocess
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests import programs


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[str]:
    """Yields the address of a server; it must end by SIGTERM, as done."""
    with subprocess.Popen(
        programs.command("trainers.serve", *flags, "--port=0"),
        cwd=programs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # where a test fails or is skipped
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def ask(address: str, endpoint: str, text: str) -> dict[str, Any]:
    """Returns what an endpoint answers to a text."""
    where = urllib.parse.urlsplit(address)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    body = json.dumps({"text": text})
    headers = {"Content-Type": "application/json"}
    connection.request("POST", endpoint, body, headers)
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


class Page(html.parser.HTMLParser):
    """What a browser shows: texts by class of their element, and coloured cells."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.num_coloured = 0
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Counts coloured cells."""
        given = dict(attrs)
        self._inside = given.get("class") or given.get("id")
        self.num_coloured += tag == "td" and "background-color" in (
            given.get("style") or ""
        )

    def handle_data(self, data: str) -> None:
        """Keeps a text."""
        if self._inside and data.strip():
            self.texts.setdefault(self._inside, []).append(data.strip())


def shown(address: str, text: str, profile: pathlib.Path) -> Page:
    """Returns the page in a headless browser once it has asked for a text."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium here: apt-get install chromium")
    query = urllib.parse.urlencode({"text": text})
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",  # CI runs as root, and the page is ours
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{address}#{query}",
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
    page = Page()
    page.feed(done.stdout.decode())
    return page
