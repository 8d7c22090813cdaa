"""Exports, and what others make of them."""

import json
import pathlib
import shutil
import subprocess
import sys

import ctranslate2
import pytest
import safetensors
import sentencepiece

from tests import programs, small_runs

TEXTS = ["ba du ki", "", "mo", "😀 ba"]

# Runs with TensorFlow and tensorflow-text; -I keeps our code out of sight.
CLEAN = """
import importlib.util, json, sys
import tensorflow as tf
import tensorflow_text

assert importlib.util.find_spec("trainers") is None
model = tf.saved_model.load(sys.argv[1])
texts = json.loads(sys.argv[2])
assert model.serve(tf.constant([], tf.string))["text"].shape == [0]
model.serve(tf.constant(["ba " * 30] * 40))
answer = model.signatures["serving_default"](text=tf.constant(texts))
print(json.dumps({
    "texts": [text.decode() for text in answer["text"].numpy()],
    "scores": answer["score"].numpy().tolist(),
    "functions": len(model.serve.concrete_functions),
}))
"""


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory) -> pathlib.Path:
    """A run of a few steps."""
    path = tmp_path_factory.mktemp("run")
    programs.succeed(
        "trainers.seq2seq",
        *small_runs.flags(data_dir, path),
        "--num_steps=30",
        "--ema_decay=0.5",
        "--eval_every_steps=10",
    )
    return path


@pytest.fixture(scope="module")
def translated(workdir) -> list[list[str]]:
    """Log-probability and text of each of TEXTS, by trainers.translate."""
    out = programs.succeed(
        "trainers.translate",
        f"--workdir={workdir}",
        "--with_scores",
        stdin="".join(f"{text}\n" for text in TEXTS).encode(),
    )
    return [line.split("\t") for line in out.split("\n")[:-1]]


def _export(workdir, target, *flags: str) -> pathlib.Path:
    programs.succeed(
        "trainers.export", f"--workdir={workdir}", f"--export_dir={target}", *flags
    )
    return target


def test_a_saved_model_needs_none_of_our_code(workdir, translated, tmp_path):
    target = _export(workdir, tmp_path / "exported")
    shutil.move(target, tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-I", "-c", CLEAN, "elsewhere", json.dumps(TEXTS)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    assert answer["texts"] == [fields[-1] for fields in translated]
    scores = [float(fields[0]) for fields in translated]
    assert answer["scores"] == pytest.approx(scores, abs=1e-4)
    assert answer["functions"] == 1
    account = json.loads((tmp_path / "elsewhere/export.json").read_text())
    assert account["format"] == "saved_model"
    assert "moving average" in account["checkpoints"]


def test_a_ctranslate2_model_brings_its_vocabularies(workdir, translated, tmp_path):
    target = _export(workdir, tmp_path / "exported", "--format=ctranslate2")
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(target / "shared.model")
    )
    translator = ctranslate2.Translator(str(target), intra_threads=1)
    for text, fields in zip(TEXTS, translated, strict=True):
        pieces = processor.encode(text, out_type=str)
        limit = 2 * len(pieces) + 52 if pieces else 1
        (found,) = translator.translate_batch(
            [pieces], beam_size=1, max_decoding_length=limit, min_decoding_length=0
        )
        assert processor.decode(found.hypotheses[0]) == fields[-1]
    assert "sentencepiece" in (target / "README.md").read_text()


@pytest.mark.long
def test_raw_weights_are_other_weights(workdir, tmp_path):
    tensors = []
    for number, flag in enumerate(("--noraw_weights", "--raw_weights")):
        target = tmp_path / str(number)
        _export(workdir, target, "--format=safetensors", flag, "--checkpoints=last")
        path = target / "model.safetensors"
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors.append(file.get_tensor("encoder/0/attention/query/kernel"))
    assert tensors[0].shape == (16, 16)
    assert (tensors[0] != tensors[1]).any()


@pytest.mark.long
def test_what_is_there_is_replaced_only_when_asked_and_only_an_export(
    workdir, tmp_path
):
    """FAULTS 5."""
    flags = (f"--workdir={workdir}", "--format=safetensors")
    target = _export(workdir, tmp_path / "exported", "--format=safetensors")
    done = programs.run("trainers.export", *flags, f"--export_dir={target}")
    assert done.returncode == 78
    assert "replace it with --overwrite" in done.stderr
    (target / "model.safetensors").unlink()
    _export(workdir, target, "--format=safetensors", "--overwrite")
    assert (target / "model.safetensors").is_file()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    done = programs.run(
        "trainers.export", *flags, f"--export_dir={mine}", "--overwrite"
    )
    assert done.returncode == 78
    assert "not of an export" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "exported",
        "exported.lock",
        "mine",
        "mine.lock",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--quantization=int8",), "is of --format=ctranslate2"),
        (("--format=safetensors", "--beam_size=4"), "--format=saved_model alone"),
        (("--format=onnx",), "onnx"),
        (("--sampling_temperature=1",), "not for exports"),
        (("--ensemble=x",), "not for exports"),
    ],
)
def test_flags_that_do_not_go_together_are_usage(flags, message, tmp_path):
    done = programs.run(
        "trainers.export", "--workdir=x", f"--export_dir={tmp_path}", *flags
    )
    assert done.returncode == 64
    assert message in done.stderr


def test_a_model_that_ctranslate2_does_not_know_is_refused(workdir, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    text = (other / "run.flags").read_text()
    changed = text.replace("--model=transformer", "--model=keras\n--keras_model=a:b")
    (other / "run.flags").write_text(changed)
    done = programs.run(
        "trainers.export",
        f"--workdir={other}",
        f"--export_dir={tmp_path / 'exported'}",
        "--format=ctranslate2",
    )
    assert done.returncode == 78
    assert "is a run of --model=keras" in done.stderr
    assert not (tmp_path / "exported").exists()
