"""Pages of runs that no program wrote: odd, hostile, unfinished."""

import html.parser
import json
import re

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


def _jsonl(entries) -> str:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def _page(*workdirs) -> str:
    runs = collecting.read_all(list(workdirs))
    return page.render(page.Content(runs, "no data", "no batches", None))


def _run(folder, **evaluations):
    """A run with nothing but results of trainers.evaluate, by the names of files."""
    folder.mkdir()
    (folder / "run.flags").write_text("--seed=1\n")
    for name, result in evaluations.items():
        (folder / f"evaluate_{name}.json").write_text(json.dumps(result))
    return folder


def test_a_run_that_was_resumed_and_goes_on_is_not_shown_as_stopped(tmp_path):
    (tmp_path / "run.flags").write_text("--data_dir=d\n")
    best = {"metric": "valid_loss", "value": 1.5, "step": 400}
    (tmp_path / "summary.json").write_text(
        json.dumps(
            {"step": 500, "finished": "preempted", "wall_secs": 9.0, "best": best}
        )
    )
    logged = tmp_path / "metrics.jsonl"
    steps = range(100, 600, 100)
    logged.write_text(_jsonl({"step": step, "learning_rate": 0.1} for step in steps))
    assert "stopped by a signal, to go on after 500 steps" in _page(tmp_path)
    steps = range(100, 2100, 100)
    logged.write_text(_jsonl({"step": step, "learning_rate": 0.1} for step in steps))
    text = _page(tmp_path)
    assert "stopped by a signal" not in text
    assert "logged up to step 2,000, the figures of its summary are of step 500" in text
    assert "best, up to step 500, at step 400" in text
    assert "in one go, up to step 500" in text


def test_scores_that_were_measured_otherwise_stand_beside_how_they_were(tmp_path):
    one = {
        "split": "test",
        "bleu": 30.0,
        "examples": 1000,
        "beam_size": 1,
        "checkpoints": "ckpt-9 (best)",
        "bleu_signature": "case:lc|tok:13a",
        "data_dir": "a/data",
        "data": "0123456789abcdef",
    }
    two = one | {
        "examples": 2000,
        "beam_size": 5,
        "bleu_signature": "case:mixed|tok:13a",
        "data_dir": "b/data",
        "data": "fedcba9876543210",
    }
    first = _run(tmp_path / "first", test=one)
    text = _page(first, _run(tmp_path / "second", test=two))
    for row in (
        ("test examples", "1,000", "2,000"),
        ("test beam size", "1", "5"),
        ("test BLEU signature", "case:lc|tok:13a", "case:mixed|tok:13a"),
        ("test data", "a/data (01234567)", "b/data (fedcba98)"),
    ):
        cells = [re.escape(f">{cell}</td>") for cell in row]
        assert re.search("<td[^<]*".join(cells), text), row
    assert "test checkpoints" not in text
    alike = _page(first, _run(tmp_path / "third", test=one | {"data_dir": "moved"}))
    assert "test beam size" not in alike
    assert "test data" not in alike


def test_scores_on_other_data_are_not_shown_as_those_of_the_run(tmp_path):
    own = {"split": "test", "accuracy": 0.25}
    other = {"split": "test", "accuracy": 0.75, "data_dir": "other"}
    old = {"accuracy": 0.5}  # of before results named their split
    text = _page(_run(tmp_path / "run", test=own, test_other=other, valid=old))
    assert "0.25" in text
    assert "0.5" in text
    assert "0.75" not in text
