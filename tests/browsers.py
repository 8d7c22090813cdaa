"""What a browser makes of a page: its width, what sticks out, what ran."""

import html
import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest

# Elements that scroll in themselves may hold wider ones.
_MEASURE = """
const frame = document.querySelector("iframe");
frame.onload = () => {
  const inside = frame.contentDocument, wide = frame.contentWindow.innerWidth;
  const held = (one) => one.closest(".scroll, pre, svg") !== null;
  const out = [...inside.body.querySelectorAll("*")].filter(
    (one) => !held(one) && one.getBoundingClientRect().right > wide + 0.5);
  const found = {
    scroll_width: inside.documentElement.scrollWidth,
    inner_width: wide,
    outside: out.map((one) => one.outerHTML.slice(0, 80)),
    num_charts: inside.querySelectorAll("svg").length,
    title: inside.title,
    outer_title: document.title,
    ink: frame.contentWindow.getComputedStyle(inside.body).color,
    page: frame.contentWindow.getComputedStyle(inside.body).backgroundColor,
  };
  const told = document.createElement("output");
  told.textContent = JSON.stringify(found);
  document.body.append(told);
};
frame.srcdoc = PAGE;
"""


def measured(
    page: pathlib.Path, folder: pathlib.Path, *, width: int, dark: bool = False
) -> dict[str, Any]:
    """Returns what a page looks like in a window of a width, in pixels.

    Args:
        page: An HTML file.
        folder: For the browser.
        width: Of the window.
        dark: Whether the reader prefers dark pages.
    """
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium here: apt-get install chromium")
    # In a frame, as a window of a headless browser has a least width.
    inner = page.read_text(encoding="utf-8")
    wrapper = folder / "wrapper.html"
    script = _MEASURE.replace("PAGE", f"`{_quoted(inner)}`")
    wrapper.write_text(
        f'<meta charset="utf-8"><title>outer</title><iframe width={width} height=800 '
        f'style="border:0"></iframe><script>{script}</script>',
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",  # CI runs as root, and the page is ours
            "--disable-gpu",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            wrapper.resolve().as_uri(),
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
    found = re.search("<output>(.*?)</output>", done.stdout.decode(), re.DOTALL)
    assert found is not None, "the page did not load"
    result: dict[str, Any] = json.loads(html.unescape(found[1]))
    return result


def _quoted(text: str) -> str:
    """Returns a text for between backticks in a script."""
    for one, other in (("\\", "\\\\"), ("`", "\\`"), ("${", "\\${"), ("</", "<\\/")):
        text = text.replace(one, other)
    return text
