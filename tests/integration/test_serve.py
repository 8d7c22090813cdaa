"""The page to try a model, as a process, over HTTP, and in a browser."""

import html.parser
import http.client
import json
import shutil
import signal
import subprocess
import urllib.parse

import pytest

from tests import programs


@pytest.fixture(scope="module")
def address(workdir):
    """Where a server listens; it must end by SIGTERM, as done."""
    with subprocess.Popen(
        programs.command(
            "trainers.serve", f"--workdir={workdir}", "--port=0", "--beam_size=3"
        ),
        cwd=programs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def _hypotheses(address, text):
    where = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    body = json.dumps({"text": text})
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/translate", body, headers)
    answer = json.load(connection.getresponse())
    connection.close()
    return answer["hypotheses"]


def test_the_endpoint_says_what_translate_says(workdir, address):
    out = programs.succeed(
        "trainers.translate",
        f"--workdir={workdir}",
        "--beam_size=3",
        "--n_best=3",
        stdin="ba du\n😀 ba\n".encode(),
    )
    found = [_hypotheses(address, text) for text in ("ba du", "😀 ba")]
    assert [one["text"] for many in found for one in many] == out.split("\n")[:6]


def test_a_port_that_is_taken_is_refused(workdir, address):
    port = urllib.parse.urlsplit(address).port
    done = programs.run("trainers.serve", f"--workdir={workdir}", f"--port={port}")
    assert done.returncode == 73
    assert f"--port={port}: another program listens there" in done.stderr


@pytest.mark.parametrize(
    ("flag", "says"), [("--port=70000", "65535"), ("--max_chars=0", "positive")]
)
def test_a_limit_that_cannot_be_is_usage(flag, says):
    done = programs.run("trainers.serve", "--workdir=x", flag)
    assert done.returncode == 64
    assert says in done.stderr


class _Page(html.parser.HTMLParser):
    """What a browser shows: texts by class of their element, and coloured cells."""

    def __init__(self):
        super().__init__()
        self.texts, self.num_coloured, self._inside = {}, 0, None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._inside = given.get("class") or given.get("id")
        self.num_coloured += tag == "td" and "background-color" in (
            given.get("style") or ""
        )

    def handle_data(self, data):
        if self._inside and data.strip():
            self.texts.setdefault(self._inside, []).append(data.strip())


def _shown(address, text, tmp_path):
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
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{address}#{query}",
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
    page = _Page()
    page.feed(done.stdout.decode())
    return page


def test_a_browser_shows_hypothesis_score_and_attention(address, tmp_path):
    page = _shown(address, "ba <b>du", tmp_path)
    wanted = _hypotheses(address, "ba <b>du")
    assert page.texts["said"] == [one["text"] or "(nothing)" for one in wanted]
    for shown, one in zip(page.texts["score"], wanted, strict=True):
        assert shown.startswith(f"{one['log_prob']:.3f}")
    attention = wanted[0]["attention"]
    cells = len(attention["src_pieces"]) * len(attention["tgt_pieces"])
    assert page.num_coloured == cells


def test_a_browser_shows_what_is_wrong(address, tmp_path):
    page = _shown(address, "x" * 2001, tmp_path)
    assert "at most 2,000 are taken" in page.texts["error"][0]
    assert page.num_coloured == 0
