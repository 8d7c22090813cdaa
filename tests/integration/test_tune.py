"""A study as a user runs it: begun, killed, taken up, shown."""

import json
import os
import pathlib
import signal
import time

import pytest

from flags import binding
from tests import browsers, damage, programs, small_runs
from trainers import config

TUNE = "trainers.tune"
_SPACE = """
[fixed]
num_steps = 120
eval_every_steps = 10
save_every_steps = 10
log_every_steps = 10
eval_examples = 0

[search.learning_rate]
choices = [1e-2, 1e-7, 1e-8]
"""


def _asked(folder: pathlib.Path, data_dir: pathlib.Path, *more: str) -> list[str]:
    (folder / "space.toml").write_text(_SPACE)
    (folder / "base.flags").write_text("\n".join(small_runs.SIZES))
    return [
        f"--study_dir={folder}/study",
        f"--space={folder}/space.toml",
        f"--base={folder}/base.flags",
        f"--data_dir={data_dir}",
        "--sampler=grid",
        "--startup_trials=1",
        "--trials=3",
        *more,
    ]


@pytest.fixture(scope="module")
def killed_and_resumed(data_dir, tmp_path_factory) -> tuple[pathlib.Path, str, int]:
    """A study that was killed in its first trial: folder, stdout, the trial's process.

    The second and third of its trials have no hope.
    """
    folder = tmp_path_factory.mktemp("tune")
    flags = _asked(folder, data_dir)
    first = folder / "study/trials/0000"
    pids: list[int] = []

    def ready() -> bool:
        if not list((first / "checkpoints").glob("ckpt-*.index")):
            return False
        pids.extend(_running(first))
        return bool(pids)

    code, errors = programs.stop_when(TUNE, *flags, ready=ready, number=signal.SIGKILL)
    assert code == -signal.SIGKILL, errors
    return folder, programs.succeed(TUNE, *flags), pids[0]


def _running(workdir: pathlib.Path) -> list[int]:
    """Returns the processes that were given a working directory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if f"--workdir={workdir}" in arguments:
            found.append(int(path.parent.name))
    return found


def _lines(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.long
def test_a_killed_study_goes_on_in_the_midst_of_a_trial(killed_and_resumed):
    folder, _, _ = killed_and_resumed
    first = folder / "study/trials/0000"
    summary = json.loads((first / "summary.json").read_text())
    assert summary["finished"] == "steps"
    assert summary["num_resumes"] >= 1
    steps = [one["step"] for one in _lines(first / "metrics.jsonl") if "loss" in one]
    assert steps == list(range(10, 121, 10))


@pytest.mark.long
def test_the_trial_of_a_killed_study_ends_too(killed_and_resumed):
    _, _, pid = killed_and_resumed
    deadline = time.monotonic() + 30
    while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.long
def test_trials_without_hope_are_pruned_and_can_go_on(killed_and_resumed):
    folder, out, _ = killed_and_resumed
    result = json.loads(out.splitlines()[-1])
    counts = {name: count for name, count in result["trials"].items() if count}
    assert counts == {"complete": 1, "pruned": 2}
    assert result["best"]["values"] == {"learning_rate": 0.01}
    for number in (1, 2):
        workdir = folder / f"study/trials/000{number}"
        summary = json.loads((workdir / "summary.json").read_text())
        assert summary["finished"] == "preempted"
        assert summary["step"] < 120


@pytest.mark.long
def test_the_best_flags_parse(killed_and_resumed, tmp_path):
    folder, _, _ = killed_and_resumed
    best = f"--flagfile={folder}/study/best.flags"
    asked = binding.parse([best, f"--workdir={tmp_path}"], config.Seq2SeqConfig)
    assert asked.schedule.learning_rate == 0.01
    assert asked.run.num_steps == 120
    assert asked.run.workdir == str(tmp_path)


@pytest.mark.long
def test_a_study_that_is_over_runs_nothing_more_and_shows_the_same(
    killed_and_resumed, data_dir
):
    folder, out, _ = killed_and_resumed
    assert programs.succeed(TUNE, *_asked(folder, data_dir)) == out
    assert programs.succeed(TUNE, f"--study_dir={folder}/study", "--show") == out
    page = (folder / "study/study.html").read_text()
    assert "<svg" in page
    assert "http:" not in page


@pytest.mark.long
def test_the_page_of_a_study_fits_a_phone(killed_and_resumed, tmp_path):
    folder, _, _ = killed_and_resumed
    page = folder / "study/study.html"
    found = browsers.measured(page, tmp_path, width=390)
    assert found["scroll_width"] <= 390
    assert found["outside"] == []


@pytest.mark.long
def test_another_space_is_refused(killed_and_resumed, data_dir):
    folder, _, _ = killed_and_resumed
    flags = _asked(folder, data_dir)
    (folder / "space.toml").write_text(_SPACE.replace("1e-8", "1e-9"))
    done = programs.run(TUNE, *flags)
    assert done.returncode == 78
    assert "was begun with other --space" in done.stderr


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ("[search.dropout]\nlow=0\nhigh=1", 65, "search.dropout: no such flag"),
        (
            "[search.dropout_rate]\nlow=0.1\nhigh=1.5",
            65,
            "search.dropout_rate: 1.5: --dropout_rate must be in",
        ),
        ("[search.d_model]\nchoices=[15]", 65, "search.d_model: 15: "),
    ],
)
def test_a_bad_space_ends_before_anything_starts(tmp_path, data_dir, more, code, says):
    flags = _asked(tmp_path, data_dir)
    (tmp_path / "space.toml").write_text(more)
    done = programs.run(TUNE, *flags)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path}/space.toml: {says}" in done.stderr
    assert not (tmp_path / "study").exists()


def test_a_study_without_validation_ends_before_anything_starts(tmp_path, data_dir):
    flags = _asked(tmp_path, data_dir)
    text = _SPACE.replace("eval_every_steps = 10", "eval_every_steps = 0")
    (tmp_path / "space.toml").write_text(text)
    done = programs.run(TUNE, *flags)
    assert done.returncode == 64
    assert "a study goes by validation" in done.stderr


@pytest.mark.parametrize(
    ("flag", "fixed"),
    [("--metric=bleu", 'best_metric = "loss"'), ("--data_dir=d", 'data_dir = "e"')],
)
def test_what_a_flag_and_the_space_both_say_is_refused(tmp_path, flag, fixed):
    flags = _asked(tmp_path, tmp_path / "none", flag)
    (tmp_path / "space.toml").write_text(_SPACE.replace("[fixed]", f"[fixed]\n{fixed}"))
    done = programs.run(TUNE, *flags)
    assert done.returncode == 64
    name = fixed.partition(" ")[0]
    told = f"sluice: {flag}: {tmp_path}/space.toml has another {name} under"
    assert done.stderr.startswith(told)


def test_data_that_is_not_there_ends_before_anything_starts(tmp_path):
    done = programs.run(TUNE, *_asked(tmp_path, tmp_path / "none"))
    assert done.returncode == 66
    assert not (tmp_path / "study").exists()


def test_without_optuna_there_is_one_line(tmp_path, data_dir):
    (tmp_path / "optuna.py").write_text("raise ImportError")
    done = programs.run(
        TUNE, *_asked(tmp_path, data_dir), PYTHONPATH=f"{tmp_path}:{programs.ROOT}"
    )
    assert done.returncode == 66
    assert done.stderr.count("\n") == 1
    assert "trainers.tune needs optuna, an extra: make setup-extras" in done.stderr


@pytest.mark.long
def test_trials_run_beside_each_other_and_one_that_holds_too_much_is_ended(
    tmp_path, data_dir
):
    flags = _asked(tmp_path, data_dir, "--parallel=3", "--trial_memory_mb=60")
    done = programs.run(TUNE, *flags)
    assert done.returncode == 70
    assert "more than --trial_memory_mb=60" in done.stderr
    assert "the first 3 trials all failed" in done.stderr


@pytest.mark.long
def test_a_study_whose_trials_all_fail_alike_ends_with_their_code(
    tmp_path, own_data_dir
):
    for shard in own_data_dir.glob("train-*.tfrecord"):
        damage.flip_a_bit(shard, -30)
    done = programs.run(TUNE, *_asked(tmp_path, own_data_dir, "--parallel=3"))
    assert done.returncode == 65, done.stderr
    assert "the first 3 trials all failed, the last one so: exit code 65" in done.stderr


@pytest.mark.long
def test_a_stopped_study_saves_its_trials_and_goes_on(tmp_path, data_dir):
    flags = _asked(tmp_path, data_dir, "--parallel=2", "--pruner=none")
    logs = [tmp_path / f"study/trials/000{number}/metrics.jsonl" for number in (0, 1)]
    code, errors = programs.stop_when(
        TUNE,
        *flags,
        ready=lambda: all(path.is_file() for path in logs),
        number=signal.SIGTERM,
    )
    assert code == 75, errors
    assert "the same command goes on" in errors
    out = programs.succeed(TUNE, *flags)
    counts = json.loads(out.splitlines()[-1])["trials"]
    assert counts["complete"] == 3
