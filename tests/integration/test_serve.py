"""The page to try a model, as a process, over HTTP, and in a browser."""

import urllib.parse

import pytest

from tests import programs, servers


@pytest.fixture(scope="module")
def address(workdir):
    """Where a server listens."""
    with servers.serving(f"--workdir={workdir}", "--beam_size=3") as where:
        yield where


def _hypotheses(address, text):
    return servers.ask(address, "/translate", text)["hypotheses"]


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


def test_a_browser_shows_hypothesis_score_and_attention(address, tmp_path):
    page = servers.shown(address, "ba <b>du", tmp_path)
    wanted = _hypotheses(address, "ba <b>du")
    assert page.texts["said"] == [one["text"] or "(nothing)" for one in wanted]
    for shown, one in zip(page.texts["score"], wanted, strict=True):
        assert shown.startswith(f"{one['log_prob']:.3f}")
    attention = wanted[0]["attention"]
    cells = len(attention["src_pieces"]) * len(attention["tgt_pieces"])
    assert page.num_coloured == cells


def test_a_browser_shows_what_is_wrong(address, tmp_path):
    page = servers.shown(address, "x" * 2001, tmp_path)
    assert "at most 2,000 are taken" in page.texts["error"][0]
    assert page.num_coloured == 0
