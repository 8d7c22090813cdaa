"""A run on one page: written at its end, and when asked for; seen by a browser."""

import json
import pathlib
import shutil

import pytest

from tests import browsers, programs, small_labels, small_runs

REPORT = "trainers.report"
_SCRIPT = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def page(workdir, tmp_path_factory) -> pathlib.Path:
    """The page of a copy of a run, in whose samples there is a script."""
    own = tmp_path_factory.mktemp("report") / "own"
    shutil.copytree(workdir, own)
    samples = own / "samples.txt"
    lines = samples.read_text().replace("  source      ", f"  source      {_SCRIPT} ")
    samples.write_text(lines)
    said = programs.succeed(REPORT, f"--workdir={own}", f"--against={workdir}")
    assert said == f"{own}/report.html\n"
    return own / "report.html"


@pytest.fixture(scope="module")
def resumed(data_dir, tmp_path_factory) -> pathlib.Path:
    """A run that was asked for more steps when it had ended."""
    path = tmp_path_factory.mktemp("resumed")
    for steps in (20, 40):
        programs.succeed(
            "trainers.seq2seq",
            *small_runs.flags(data_dir, path),
            f"--num_steps={steps}",
            "--log_every_steps=5",
            "--eval_every_steps=10",
        )
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> pathlib.Path:
    """A classifier that was evaluated."""
    folder = tmp_path_factory.mktemp("classes")
    data = small_labels.make(folder)
    work = folder / "work"
    flags = small_runs.flags(data, work, "--num_steps=30", "--eval_every_steps=10")
    programs.succeed("trainers.seq2vec", *flags)
    programs.succeed("trainers.evaluate", f"--workdir={work}")
    programs.succeed(REPORT, f"--workdir={work}")
    return work


def _text(workdir: pathlib.Path) -> str:
    return (workdir / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False)])
def test_nothing_sticks_out_of_the_page(page, tmp_path, width, dark):
    found = browsers.measured(page, tmp_path, width=width, dark=dark)
    assert found["inner_width"] == width
    assert found["scroll_width"] <= width
    assert found["outside"] == []
    assert found["num_charts"] > 8


@pytest.mark.long
def test_a_reader_who_prefers_dark_pages_gets_one(page, tmp_path):
    light, dark = (
        browsers.measured(page, tmp_path, width=390, dark=dark)
        for dark in (False, True)
    )
    assert light["ink"] != dark["ink"]
    assert light["page"] != dark["page"]


@pytest.mark.long
def test_a_script_in_the_samples_is_shown_and_not_run(page, tmp_path):
    found = browsers.measured(page, tmp_path, width=390)
    assert found["title"] == "own · Sluice"
    assert found["outer_title"] == "outer"
    assert "&lt;script&gt;document.title" in _text(page.parent)
    assert "<script" not in _text(page.parent)


def test_a_page_has_all_there_is_to_say(page):
    text = _text(page.parent)
    for heading in (
        *("Side by side", "Curves", "Promises", "What was asked", "Samples"),
        *("Attention", "Step time", "Batches", "Data", "Machine and versions"),
    ):
        assert f"<h2>{heading}</h2>" in text, heading
    for chart in ("Loss", "BLEU", "Learning rate", "Waiting for data", "Step time"):
        assert f"<b>{chart}</b>" in text, chart
    assert "--d_ff" in text
    assert "--flagfile=" in text
    assert 'class="broken"' not in text
    assert text.count('class="grid c0"') == 3  # attention maps


@pytest.mark.long
def test_a_run_writes_its_page_when_it_ends_and_says_how_often_it_was_resumed(resumed):
    text = _text(resumed)
    assert "resumed once" in text
    assert "python -m trainers.report --workdir=" in text  # for attention maps
    assert 'class="broken"' not in text


@pytest.mark.long
def test_a_run_that_has_ended_writes_a_page_that_is_missing_and_keeps_another(
    resumed, data_dir
):
    def again() -> None:
        programs.succeed(
            "trainers.seq2seq",
            f"--flagfile={resumed}/run.flags",
            f"--data_dir={data_dir}",
        )

    (resumed / "report.html").unlink()
    again()
    (resumed / "report.html").write_text("mine")
    again()
    assert _text(resumed) == "mine"
    (resumed / "report.html").unlink()


@pytest.mark.long
def test_a_page_that_cannot_be_written_leaves_a_finished_run_finished(
    data_dir, tmp_path
):
    (tmp_path / "report.html").mkdir()  # in the way
    done = programs.run(
        "trainers.seq2seq",
        *small_runs.flags(data_dir, tmp_path),
        "--num_steps=3",
        "--eval_every_steps=0",
    )
    assert done.returncode == 0
    assert "no report could be written (IsADirectoryError" in done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["finished"] == "steps"


@pytest.mark.long
def test_a_classifier_shows_its_confusions(classifier, tmp_path):
    text = _text(classifier)
    assert "<h2>Confusions</h2>" in text
    assert "<h2>Samples</h2>" not in text
    assert "<b>Macro F1</b>" in text
    found = browsers.measured(classifier / "report.html", tmp_path, width=390)
    assert found["scroll_width"] <= 390
    assert found["outside"] == []


@pytest.mark.long
def test_a_page_without_its_data_says_so(workdir, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(workdir, own)
    flags = own / "run.flags"
    lines = flags.read_text().split("\n")
    moved = [
        "--data_dir=/none" if one.startswith("--data_dir") else one for one in lines
    ]
    flags.write_text("\n".join(moved))
    programs.succeed(REPORT, f"--workdir={own}", "--attention=0")
    assert "/none: no such directory" in _text(own)
    assert "<h2>Attention</h2>" not in _text(own)


def test_what_is_no_run_is_refused(tmp_path):
    done = programs.run(REPORT, f"--workdir={tmp_path}")
    assert done.returncode == 66
    assert "has no run.flags" in done.stderr
