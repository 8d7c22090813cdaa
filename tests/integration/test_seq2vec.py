"""Texts to classes as a user does it: train, be killed, go on, evaluate, predict."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests import damage, programs, servers, small_labels, small_runs
from trainers import checkpoints

TRAIN = "trainers.seq2vec"
STEPS = 60


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> pathlib.Path:
    """A small data directory with labels."""
    return small_labels.make(tmp_path_factory.mktemp("labels"))


def _flags(data_dir, workdir, *more: str) -> list[str]:
    return small_runs.flags(
        data_dir,
        workdir,
        "--dropout_rate=0.1",
        "--word_dropout=0.05",
        "--head_units=16",
        "--class_weights=balanced",
        "--tokens_per_batch=256",
        "--num_buckets=3",
        "--pool_examples=100",
        f"--num_steps={STEPS}",
        "--log_every_steps=7",
        "--eval_every_steps=20",
        "--save_every_steps=10",
        "--best_metric=macro_f1",
        *more,
    )


@pytest.fixture(scope="module")
def whole(labelled, tmp_path_factory) -> pathlib.Path:
    """A run that was never stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    programs.succeed(TRAIN, *_flags(labelled, workdir))
    return workdir


def _final(workdir: pathlib.Path) -> dict[str, bytes]:
    """Returns every tensor of the last checkpoint, and the metrics, as bytes."""
    path = checkpoints.path_of(workdir / "checkpoints", STEPS)
    tensors, state = checkpoints.read(path)
    content = {name: value.tobytes() for name, value in tensors.items()}
    content["metrics.jsonl"] = (workdir / "metrics.jsonl").read_bytes()
    content["cursor"] = json.dumps(state["cursor"]).encode()
    content["best"] = json.dumps(state["best"]).encode()
    return content


def test_a_run_says_what_it_did_in_the_words_of_classes(whole):
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["train_step_traces"] == summary["evaluation_step_traces"] == 1
    assert summary["best"]["metric"] == "valid_macro_f1"
    assert summary["examples_per_sec"] > 0
    assert 0 <= summary["padding_fraction"] < 0.5
    lines = [*map(json.loads, (whole / "metrics.jsonl").read_text().splitlines())]
    logged = [line for line in lines if "accuracy" in line]
    validated = [line for line in lines if "valid_loss" in line]
    assert logged[-1]["accuracy"] > 0.7
    assert validated[-1].keys() >= {"valid_accuracy", "valid_macro_f1"}
    assert json.loads((whole / "labels.json").read_text()) == [*small_labels.CLASSES]


@pytest.mark.long
def test_killed_and_started_again_it_ends_with_the_same_bytes(
    labelled, whole, tmp_path
):
    flags = _flags(labelled, tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    programs.kill_when(
        TRAIN,
        *flags,
        ready=lambda: metrics.is_file() and '"step": 35,' in metrics.read_text(),
    )
    assert checkpoints.steps(tmp_path / "checkpoints")[-1] < STEPS
    programs.succeed(TRAIN, *flags)
    assert _final(tmp_path) == _final(whole)


def test_evaluate_scores_beside_baselines_and_draws_the_confusions(labelled, whole):
    best = json.loads((whole / "summary.json").read_text())["best"]
    out = programs.succeed("trainers.evaluate", f"--workdir={whole}", "--split=valid")
    result = json.loads(out.splitlines()[-1])
    assert result == json.loads((whole / "evaluate_valid.json").read_text())
    assert result["macro_f1"] == pytest.approx(best["value"], rel=1e-6)
    assert result["examples"] == 30
    assert result["accuracy"] > result["majority_accuracy"] > 0
    assert result["linear_accuracy"] > result["majority_accuracy"]
    confusions = json.loads((whole / "confusions_valid.json").read_text())
    assert (confusions["split"], result["data_dir"]) == ("valid", str(labelled))
    assert confusions["labels"] == [*small_labels.CLASSES]
    counts = np.array(confusions["confusions"])
    assert np.trace(counts) / counts.sum() == pytest.approx(result["accuracy"])
    assert (whole / "confusions_valid.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.long
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda shard: damage.flip_a_bit(shard, -30), "does not match its checksum"),
        (pathlib.Path.unlink, "is gone"),
    ],
    ids=["a flipped bit", "removed"],
)
def test_evaluate_names_the_damaged_train_shard_of_its_baselines(
    labelled, whole, tmp_path, harm, message
):
    """FAULTS 23 and 25."""
    broken = tmp_path / "data"
    shutil.copytree(labelled, broken)
    shard = broken / "train-00001-of-00003.tfrecord"
    harm(shard)
    done = programs.run(
        "trainers.evaluate",
        f"--workdir={whole}",
        f"--data_dir={broken}",
        "--split=test",
    )
    assert done.returncode == 65, done.stderr
    assert f"sluice: {shard}: " in done.stderr
    assert message in done.stderr


def test_predict_answers_every_line_whatever_it_holds(whole):
    lines = b"dog\n\nda \xff\xfe bo one\r\n\tka\nhome"
    out = programs.succeed(
        "trainers.predict", f"--workdir={whole}", "--top=2", stdin=lines
    )
    rows = [line.split("\t") for line in out.split("\n")]
    assert rows.pop() == [""]
    assert len(rows) == 5
    for label, first, second in rows:
        probabilities = [float(cell.split(" ")[0]) for cell in (first, second)]
        assert first.split(" ", 1)[1] == label
        assert label in small_labels.CLASSES
        assert 1 >= probabilities[0] >= probabilities[1] >= 0
    assert rows[0][0] == "animal"


def test_predict_writes_vectors_of_every_line(whole, tmp_path):
    path = tmp_path / "vectors.npy"
    flags = (f"--workdir={whole}", f"--vectors={path}")
    out = programs.succeed("trainers.predict", *flags, stdin=b"dog\n\nhome dog\ndog\n")
    vectors = np.load(path)
    assert (out, vectors.shape, vectors.dtype) == ("", (4, 16), np.float32)
    np.testing.assert_allclose(vectors[3], vectors[0], rtol=1e-4, atol=1e-5)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
    programs.succeed("trainers.predict", *flags, stdin=b"")
    assert np.load(path).shape == (0, 16)
    refused = programs.run("trainers.predict", *flags, "--side=tgt", stdin=b"dog\n")
    assert refused.returncode == 64
    assert "is a classifier, whose texts have one side" in refused.stderr


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
sys.argv = sys.argv[1:]
runpy.run_module("trainers.predict", run_name="__main__")
"""


def test_vectors_on_a_full_disk_are_exit_code_74_and_leave_nothing(whole, tmp_path):
    """FAULTS 3 and 61."""
    path = tmp_path / "vectors.npy"
    path.write_bytes(b"what was there")
    flags = (f"--workdir={whole}", f"--vectors={path}")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "predict", *flags],
        cwd=programs.ROOT,
        input=b"dog\n" * 2000,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 74, done.stderr
    assert [other.name for other in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"what was there"


def test_what_does_not_fit_is_refused_in_one_line(labelled, whole, data_dir, tmp_path):
    pairs = programs.run(TRAIN, *_flags(data_dir, tmp_path / "new"))
    assert pairs.returncode == 65
    assert "--task=labels" in pairs.stderr
    other = programs.run(TRAIN, *_flags(labelled, whole, "--pooling=max"))
    assert other.returncode == 78
    assert "--pooling: mean there, max asked" in other.stderr
    wrong = programs.run("trainers.translate", f"--workdir={whole}", stdin=b"a\n")
    assert wrong.returncode == 66
    assert "is a run of trainers.seq2vec, which says no texts" in wrong.stderr
    decoding = programs.run("trainers.serve", f"--workdir={whole}", "--beam_size=2")
    assert decoding.returncode == 64
    assert "leave flags of decoding out" in decoding.stderr


@pytest.mark.long
def test_a_page_serves_classes_and_their_probabilities(whole, tmp_path):
    out = programs.succeed(
        "trainers.predict", f"--workdir={whole}", "--top=3", stdin=b"ba dog\n"
    )
    wanted = [cell.split(" ", 1) for cell in out.strip().split("\t")[1:]]
    with servers.serving(f"--workdir={whole}") as address:
        found = servers.ask(address, "/predict", "ba\ndog")["classes"]
        assert [[f"{one['probability']:.4f}", one["label"]] for one in found] == wanted
        page = servers.shown(address, "ba dog", tmp_path)
    assert page.texts["said"] == [one["label"] for one in found]
    shares = [f"{100 * one['probability']:.1f} %" for one in found]
    assert page.texts["score"] == shares


@pytest.mark.long
def test_inspect_shows_texts_and_their_labels(labelled):
    page = programs.succeed(
        "pipeline.inspect",
        f"--data_dir={labelled}",
        "--tokens_per_batch=256",
        "--benchmark_secs=1",
    )
    result = json.loads(page.splitlines()[-1])
    assert result["examples"] == 240
    assert result["examples_per_sec"] > 0
    shown = [line.split()[1] for line in page.split("\n") if line.startswith("  label")]
    assert len(shown) == 3
    assert set(shown) <= set(small_labels.CLASSES)
    refused = programs.run(
        "pipeline.inspect",
        f"--data_dir={labelled}",
        "--benchmark_secs=1",
        "--compare",
    )
    assert refused.returncode == 64


@pytest.mark.long
def test_soft_labels_are_learned_from(tmp_path):
    data_dir = small_labels.make(tmp_path, soft=True)
    workdir = tmp_path / "work"
    flags = _flags(data_dir, workdir, "--label_smoothing=0", "--word_dropout=0")
    programs.succeed(TRAIN, *flags)
    out = programs.succeed("trainers.evaluate", f"--workdir={workdir}")
    result = json.loads(out.splitlines()[-1])
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))
    assert entropy < result["loss"] < np.log(3)
    assert result["accuracy"] > 0.6


@pytest.mark.long
def test_vectors_of_pairs_are_trained_killed_scored_and_written(data_dir, tmp_path):
    def flags(workdir):
        own = ("--head_units=0", "--class_weights=none", "--best_metric=loss")
        return [*_flags(data_dir, workdir, *own), "--head=embedding"]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    programs.succeed(TRAIN, *flags(whole))
    metrics = killed / "metrics.jsonl"
    programs.kill_when(
        TRAIN,
        *flags(killed),
        ready=lambda: metrics.is_file() and '"step": 35,' in metrics.read_text(),
    )
    programs.succeed(TRAIN, *flags(killed))
    assert _final(killed) == _final(whole)
    out = programs.succeed("trainers.evaluate", f"--workdir={whole}", "--split=valid")
    result = json.loads(out.splitlines()[-1])
    assert result["retrieval_accuracy"] > 4 * result["chance"]
    best = json.loads((whole / "summary.json").read_text())["best"]
    assert result.keys() >= {"loss", "retrieval_accuracy_back", "accuracy"}
    assert best["metric"] == "valid_loss"
    path = tmp_path / "vectors.npy"
    asked = (f"--workdir={whole}", f"--vectors={path}", "--side=tgt")
    programs.succeed("trainers.predict", *asked, stdin=b"ba da\n\n")
    vectors = np.load(path)
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose((vectors**2).sum(axis=1), 1.0, rtol=1e-5)
    refused = programs.run(TRAIN, *flags(tmp_path / "new"), "--accumulate_steps=2")
    assert refused.returncode == 64
    assert "--accumulate_steps=2: --head=embedding compares" in refused.stderr
    refused = programs.run("trainers.predict", f"--workdir={whole}", stdin=b"a\n")
    assert refused.returncode == 64
    assert "--vectors" in refused.stderr
