"""HTTP for one machine: the page, its two files, and POST /translate or /predict.

    POST /translate {"text": "A sentence."}
    -> {"hypotheses": [{"text", "log_prob", "finished", "attention"}]}

The attention is null where the model has none, or where it is more than can be sent.

    POST /predict {"text": "A sentence."}
    -> {"classes": [{"label", "probability"}]}

GET /task says which of the two a server has: {"endpoint": "/translate"}.

Every error is {"error": "..."} with its status. Pages of other origins can neither read
answers nor send texts: requests must name this machine as their host, against DNS that
points elsewhere, and be JSON by their type, which a browser sends nowhere unasked.
"""

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import bottle
import waitress
import waitress.channel
import waitress.task

HOST = "127.0.0.1"
TRANSLATE, PREDICT = "/translate", "/predict"
_CHAR_BYTES = 12  # of a character beyond U+FFFF as JSON may write it, "\\ud83d\\ude00"
_MORE_BYTES = 1024  # for what is around the text
_MAX_HEADER_BYTES = 16 * 1024
_NUM_THREADS = 4
_OUR_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]+)?")
_FOLDER = pathlib.Path(__file__).parent
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Answer = Callable[[str], dict[str, Any]]


class _App(bottle.Bottle):
    """A Bottle whose errors are JSON."""

    def default_error_handler(self, error: bottle.HTTPError) -> str:
        """Returns the body of any error that is not answered otherwise."""
        bottle.response.headers.update(_HEADERS)  # an error comes with its own
        bottle.response.content_type = "application/json"
        return json.dumps({"error": str(error.body)})


class _ErrorTask(waitress.task.ErrorTask):
    """Answers what is no request, such as one with a body that is too long."""

    def execute(self) -> None:
        """Writes the answer."""
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}"}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.response_headers.extend(_HEADERS.items())
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(waitress.channel.HTTPChannel):
    """A connection."""

    error_task_class = _ErrorTask


def app(answer: Answer, max_chars: int, *, endpoint: str = TRANSLATE) -> bottle.Bottle:
    """Returns the application.

    Args:
        answer: Called with each text; its result is sent as JSON.
        max_chars: The longest text taken, in characters.
        endpoint: Where texts are sent: `TRANSLATE` or `PREDICT`.
    """
    made = _App()
    contents = {
        route: ((_FOLDER / name).read_bytes(), kind)
        for route, (name, kind) in _FILES.items()
    }

    @made.hook("before_request")
    def check_host() -> None:
        bottle.response.headers.update(_HEADERS)
        if not _OUR_HOST.fullmatch(bottle.request.environ.get("HTTP_HOST", "")):
            raise bottle.HTTPError(403, "the host must be 127.0.0.1 or localhost")

    @made.get(list(contents))
    def page() -> bytes:
        content, bottle.response.content_type = contents[bottle.request.path]
        return content

    @made.get("/task")
    def task() -> dict[str, str]:
        return {"endpoint": endpoint}

    @made.post(endpoint)
    def respond() -> dict[str, Any]:
        return answer(_text(bottle.request, max_chars))

    return made


def max_body_bytes(max_chars: int) -> int:
    """Returns the longest body that a text of so many characters can need."""
    return max_chars * _CHAR_BYTES + _MORE_BYTES


def server(application: bottle.Bottle, port: int, max_chars: int) -> Any:
    """Returns a server that listens on 127.0.0.1 alone; `run` serves until SystemExit.

    Args:
        application: What answers.
        port: 0 for any that is free; `effective_port` says which.
        max_chars: The longest text taken, in characters.

    Raises:
        OSError: If the port cannot be had.
    """
    made = waitress.create_server(
        application,
        host=HOST,
        port=port,
        threads=_NUM_THREADS,
        ident=None,
        max_request_body_size=max_body_bytes(max_chars),
        max_request_header_size=_MAX_HEADER_BYTES,
    )
    made.channel_class = _Channel
    return made


def _text(request: Any, max_chars: int) -> str:
    """Returns the text of a request.

    Raises:
        bottle.HTTPError: 415, 400 or 413, saying what is wrong with it.
    """
    kind = request.content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise bottle.HTTPError(415, "send Content-Type: application/json")
    try:
        asked = json.loads(request.body.read().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise bottle.HTTPError(400, f"the body is not JSON in UTF-8: {error}") from None
    if not isinstance(asked, dict) or set(asked) != {"text"}:
        raise bottle.HTTPError(400, 'send {"text": "..."} and nothing else')
    if not isinstance(asked["text"], str):
        raise bottle.HTTPError(400, "text must be a string")
    if len(asked["text"]) > max_chars:
        raise bottle.HTTPError(
            413,
            f"text has {len(asked['text']):,} characters, at most {max_chars:,} are "
            "taken; see --max_chars",
        )
    # JSON may hold halves of characters, which are no text.
    return asked["text"].encode("utf-8", "surrogatepass").decode("utf-8", "replace")
