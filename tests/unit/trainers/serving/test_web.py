"""Real HTTP against a server in a thread; what it answers is spelled backwards."""

import contextlib
import http.client
import json
import socket
import threading

import pytest

from trainers.serving import web

JSON = {"Content-Type": "application/json"}
_SENT_CHARS = 5000
_LIMIT = web.max_body_bytes(_SENT_CHARS)


@contextlib.contextmanager
def _serving(answer):
    """Yields the port of a server that runs while the block does."""
    server = web.server(web.app(answer, max_chars=10), port=0, max_chars=_SENT_CHARS)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.effective_port
    finally:
        # Closed by its own thread, which else may be waiting for a socket that is gone.
        server.trigger.pull_trigger(server.close)
        thread.join(timeout=10)
        server.task_dispatcher.shutdown()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def port():
    with _serving(lambda text: {"said": text[::-1]}) as number:
        yield number


def _ask(port, method, path, body=None, headers=None):
    """Returns status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def _refused(port, *request):
    """Returns the status of an error, and what it says."""
    status, headers, body = _ask(port, *request)
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    return status, json.loads(body)["error"]


@pytest.mark.parametrize(
    ("path", "kind", "holds"),
    [
        ("/", "text/html", b"<textarea"),
        ("/page.css", "text/css", b"textarea"),
        ("/page.js", "text/javascript", b"/translate"),
    ],
)
def test_the_page_loads_nothing_from_elsewhere(port, path, kind, holds):
    status, headers, body = _ask(port, "GET", path)
    assert status == 200
    assert headers["Content-Type"].startswith(kind)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert holds in body
    assert b"http" not in body


def test_the_page_is_told_where_to_send_texts(port):
    status, _, body = _ask(port, "GET", "/task")
    assert (status, json.loads(body)) == (200, {"endpoint": "/translate"})
    assert _ask(port, "POST", "/predict", json.dumps({"text": ""}), JSON)[0] == 404


@pytest.mark.parametrize("text", ["abc", "", "😀 ж", "a\nb", "1234567890"])
def test_a_text_is_answered(port, text):
    body = json.dumps({"text": text})
    status, headers, answer = _ask(port, "POST", "/translate", body, JSON)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(answer) == {"said": text[::-1]}


def test_half_a_character_is_no_text(port):
    _, _, answer = _ask(port, "POST", "/translate", b'{"text": "a\\ud800"}', JSON)
    assert json.loads(answer) == {"said": "\ufffd\ufffd\ufffda"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[" * 5000, 400, "not JSON"),
        (b"[]", 400, "and nothing else"),
        (b"{}", 400, "and nothing else"),
        (b'{"text": "a", "beam": 4}', 400, "and nothing else"),
        (b'{"text": 5}', 400, "must be a string"),
        (b'{"text": "12345678901"}', 413, "has 11 characters, at most 10"),
        (b" " * (_LIMIT + 1), 413, str(_LIMIT)),
    ],
)
def test_what_is_no_text_is_refused_with_its_reason(port, body, status, says):
    found, error = _refused(port, "POST", "/translate", body, JSON)
    assert found == status
    assert says in error


def test_a_body_without_an_announced_length_is_limited_too(port):
    def pieces():
        for _ in range(_LIMIT // 1024 + 2):
            yield b" " * 1024

    try:
        status, _ = _refused(port, "POST", "/translate", pieces(), JSON)
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it hung up while we went on talking, which limits too
    assert status == 413
    assert _ask(port, "GET", "/")[0] == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/jsonp"])
def test_a_form_of_another_page_is_not_taken(port, kind):
    headers = {"Content-Type": kind} if kind else {}
    status, error = _refused(port, "POST", "/translate", b'{"text": "a"}', headers)
    assert status == 415
    assert "application/json" in error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/page.html", 404),
        ("GET", "/../../../../../../etc/passwd", 404),
        ("GET", "/%2e%2e/web.py", 404),
        ("GET", "/translate", 405),
        ("PUT", "/", 405),
        ("DELETE", "/translate", 405),
    ],
)
def test_there_is_nothing_else(port, method, path, status):
    assert _refused(port, method, path)[0] == status


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("localhost:8000", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_only_this_machine_is_a_host(port, host, allowed):
    status, _, body = _ask(port, "GET", "/", None, {"Host": host})
    assert status == (200 if allowed else 403)
    if not allowed:
        assert "host" in json.loads(body)["error"]


def test_headers_are_limited(port):
    status, _ = _refused(port, "GET", "/", None, {"X": "x" * 20_000})
    assert status == 431


def test_a_failure_inside_is_json_that_tells_nothing(capsys):
    def fail(text):
        raise ZeroDivisionError("secret")

    with _serving(fail) as its_port:
        status, error = _refused(its_port, "POST", "/translate", b'{"text": "a"}', JSON)
    assert status == 500
    assert "secret" not in error
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_it_is_not_reached_by_another_address(port):
    """The whole of 127.0.0.0/8 is this machine; only one address of it is ours."""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_text_as_long_as_is_taken_fits_into_a_body_however_it_is_written():
    longest = json.dumps({"text": "\U0001f600" * _SENT_CHARS})
    assert len(longest) <= _LIMIT
