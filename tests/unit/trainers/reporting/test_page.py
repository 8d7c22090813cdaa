"""Pages of runs that no program wrote: odd, hostile, unfinished."""

import html.parser
import json

import pytest

from trainers.reporting import collecting, page

_SCRIPT = "<script>document.title='owned'</script>"


class _Elements(html.parser.HTMLParser):
    """Collects the elements of a page and the names of their attributes."""

    def __init__(self):
        super().__init__()
        self.tags, self.names = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.names += [name for name, _ in attrs]


@pytest.fixture
def hostile(tmp_path):
    """A run whose every text is an attack."""
    work = tmp_path / "<script>alert(1)<"
    work.mkdir()
    flags = ["--data_dir=/<img src=x onerror=alert(1)>", f"--workdir={_SCRIPT}"]
    (work / "run.flags").write_text("\n".join([*flags, f"--freeze={_SCRIPT}", ""]))
    (work / "samples.txt").write_text(
        f"== step 5\n\n  source      {_SCRIPT}\n  hypothesis  </dd>{_SCRIPT}\n"
        f'  reference   " onload="x\n\n'
    )
    (work / "metrics.jsonl").write_text(
        json.dumps({"step": 5, "learning_rate": 0.1, "loss": 2.0}) + "\n"
        f'{json.dumps({"step": 5, f"valid_{_SCRIPT}": 1.0})}\n{{"step": 6, "lo'
    )
    (work / "summary.json").write_text(
        json.dumps({"step": 5, "finished": _SCRIPT, "machine": {_SCRIPT: _SCRIPT}})
    )
    (work / "evaluate_<b>.json").write_text(json.dumps({"bleu": 3.0}))
    return work


def test_no_text_of_a_run_becomes_an_element(hostile):
    runs = collecting.read_all([hostile, hostile])
    text = page.render(page.Content(runs, _SCRIPT, _SCRIPT, _SCRIPT))
    reader = _Elements()
    reader.feed(text)
    assert "circle" in reader.tags
    assert not {"script", "img", "iframe", "link"} & set(reader.tags)
    assert not [name for name in reader.names if name.startswith("on")]
    assert "&lt;script&gt;document.title" in text
    assert "default-src &#x27;none&#x27;" in text


def test_a_page_asks_for_nothing_from_outside(hostile):
    runs = collecting.read_all([hostile])
    text = page.render(page.Content(runs, "none", "none", None))
    for outside in ("http:", "https:", "url(", "@import", "<link", "src="):
        assert outside not in text.replace("img src=x", ""), outside


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "run.flags").write_text("--data_dir=d\n--workdir=w\n")
    text = page.render(page.Content(collecting.read_all([tmp_path]), "x", "y", None))
    assert "not ended yet; logged up to step 0" in text
    assert "Nothing was logged." in text
    assert "The run kept no samples" in text


def test_runs_of_one_name_are_told_apart(tmp_path):
    for name in ("a/work", "b/work"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.flags").write_text("--seed=1\n")
    runs = collecting.read_all([tmp_path / "a/work", tmp_path / "b/work"])
    assert len({run.name for run in runs}) == 2
