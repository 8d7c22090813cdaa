"""What is done with a trained run: evaluate; and inspect before it."""

import json
import shutil

import pytest

from pipeline import manifest
from tests import damage, programs, small_data


def _result(*flags: str) -> dict:
    return json.loads(programs.succeed("trainers.evaluate", *flags).splitlines()[-1])


@pytest.mark.parametrize(
    "split", [pytest.param("valid", marks=pytest.mark.long), "test"]
)
def test_evaluate_ends_with_one_json_object_that_is_also_a_file(
    workdir, data_dir, split
):
    result = _result(f"--workdir={workdir}", f"--split={split}")
    written = json.loads((workdir / f"evaluate_{split}.json").read_text())
    assert result == written
    assert result["data_dir"] == str(data_dir)
    assert result["data"] == manifest.identity(manifest.read(data_dir))
    assert result["examples"] == 20
    assert result["evaluation_step_traces"] == result["decoding_step_traces"] == 1
    assert {
        "loss",
        "perplexity",
        "token_accuracy",
        "bleu",
        "bleu_signature",
        "chrf",
        "chrf_signature",
        "exact_match",
        "token_error_rate",
        "ter",
        "ter_signature",
        "rouge1",
        "rouge2",
        "rougeL",
        "bleu_ci",
        "cut_hypotheses",
    } <= result.keys()
    assert sum(row["examples"] for row in result["by_length"]) == 20


def test_scores_on_other_data_are_told_where_their_own_file_cannot_be_written(
    workdir, data_dir, tmp_path
):
    own = tmp_path / "own"
    shutil.copytree(workdir, own)
    (own / "evaluate_test.json").write_text("mine")
    (own / "evaluate_test_data.json").mkdir()  # in the way
    other = small_data.make(
        tmp_path / "other", count=40, spm_model=data_dir / "shared.model", seed=4
    )
    done = programs.run(
        "trainers.evaluate",
        f"--workdir={own}",
        "--split=test",
        f"--data_dir={other}",
    )
    assert done.returncode == 74, done.stderr
    assert f"{own}/evaluate_test_data.json: cannot be written" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["data_dir"] == str(other)
    assert (own / "evaluate_test.json").read_text() == "mine"


def test_the_validation_loss_of_training_is_that_of_evaluate(workdir):
    best = json.loads((workdir / "summary.json").read_text())["best"]
    result = _result(f"--workdir={workdir}", "--split=valid", "--checkpoints=best")
    assert result["loss"] == pytest.approx(best["value"], rel=1e-5)


@pytest.mark.long
def test_other_checkpoints_have_other_weights(workdir):
    losses = {
        which: _result(f"--workdir={workdir}", f"--checkpoints={which}")["loss"]
        for which in ("last", "average:1", "average:2")
    }
    assert losses["last"] == losses["average:1"] != losses["average:2"]


@pytest.mark.long
def test_the_baseline_stands_beside_the_score(workdir):
    page = programs.succeed("trainers.evaluate", f"--workdir={workdir}", "--baseline")
    assert "(token by token: " in page
    assert 0 <= json.loads(page.splitlines()[-1])["baseline_exact_match"] <= 1


@pytest.mark.long
def test_files_are_scored_as_the_split_they_are_of(workdir, data_dir, tmp_path):
    lines = (data_dir.parent / "test.tsv").read_text().splitlines()
    sources, references = zip(*(line.split("\t") for line in lines), strict=True)
    (tmp_path / "src").write_text("".join(f"{line}\n" for line in sources))
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in references))
    (tmp_path / "other").write_text("x\n" * len(lines))
    flags = [f"--workdir={workdir}", f"--src_file={tmp_path / 'src'}"]
    split = _result(f"--workdir={workdir}", "--split=test")
    result = _result(*flags, f"--ref_file={tmp_path / 'ref'},{tmp_path / 'other'}")
    assert result["loss"] == pytest.approx(split["loss"], rel=1e-5)
    assert result["token_accuracy"] == pytest.approx(split["token_accuracy"])
    assert result["rouge1"] >= split["rouge1"]
    assert result["bleu_signature"].startswith("nrefs:2")
    assert json.loads((workdir / "evaluate_files.json").read_text()) == result


@pytest.mark.long
def test_a_run_against_itself_does_not_differ(workdir):
    page = programs.succeed(
        "trainers.evaluate", f"--workdir={workdir}", f"--against={workdir}"
    )
    result = json.loads(page.splitlines()[-1])["against"]
    for name in ("bleu", "chrf", "ter", "exact_match", "token_error_rate"):
        assert result[name]["difference"] == 0
        assert result[name]["p_value"] == 1
    assert "paired bootstrap" in page


@pytest.mark.long
def test_the_scores_of_an_ensemble_do_not_take_the_place_of_a_run_s(workdir, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(workdir, again)
    own = _result(f"--workdir={again}", "--split=test")
    together = _result(
        f"--workdir={again}", "--split=test", f"--ensemble={workdir},{workdir}"
    )
    assert together["loss"] is None
    for name, result in (("test", own), ("test_ensemble", together)):
        written = json.loads((again / f"evaluate_{name}.json").read_text())
        assert written == result


@pytest.mark.long
def test_a_rival_without_checkpoints_is_refused_by_its_name(workdir, tmp_path):
    rival = tmp_path / "rival"
    shutil.copytree(workdir, rival)
    shutil.rmtree(rival / "best")
    shutil.rmtree(rival / "checkpoints")
    done = programs.run(
        "trainers.evaluate", f"--workdir={workdir}", f"--against={rival}"
    )
    assert done.returncode == 66, done.stderr
    assert f"sluice: {rival}" in done.stderr


@pytest.mark.long
def test_a_run_without_a_best_checkpoint_is_scored_by_its_last(workdir, tmp_path):
    unvalidated = tmp_path / "unvalidated"
    shutil.copytree(workdir, unvalidated)
    shutil.rmtree(unvalidated / "best")
    done = programs.run("trainers.evaluate", f"--workdir={unvalidated}")
    assert done.returncode == 0, done.stderr
    assert "has no best checkpoint, as nothing was validated" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["checkpoints"] == "ckpt-60 (last)"


@pytest.mark.long
def test_damaged_training_data_is_named_under_baseline(workdir, data_dir, tmp_path):
    """FAULTS 23."""
    broken = tmp_path / "data"
    shutil.copytree(data_dir, broken)
    shard = broken / "train-00001-of-00003.tfrecord"
    damage.flip_a_bit(shard, -30)
    done = programs.run(
        "trainers.evaluate",
        f"--workdir={workdir}",
        "--baseline",
        f"--data_dir={broken}",
    )
    assert done.returncode == 65, done.stderr
    assert f"{shard}: record 99: its data does not match" in done.stderr


@pytest.mark.long
def test_more_checkpoints_than_there_are_is_missing_input(workdir):
    done = programs.run(
        "trainers.evaluate", f"--workdir={workdir}", "--checkpoints=average:9"
    )
    assert done.returncode == 66
    assert "has 3 checkpoints, --checkpoints=average:9 wants 9" in done.stderr


def test_data_of_another_vocabulary_is_refused(workdir, tmp_path):
    other = small_data.make(tmp_path / "other", count=40)
    done = programs.run(
        "trainers.evaluate", f"--workdir={workdir}", f"--data_dir={other}"
    )
    assert done.returncode == 78
    assert "another vocabulary" in done.stderr


def test_attention_is_drawn_for_each_line_that_says_something(workdir, tmp_path):
    out = programs.succeed(
        "trainers.translate",
        f"--workdir={workdir}",
        f"--attention_dir={tmp_path}",
        stdin=b"ba du\n\nmo\n",
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000001.json", "000001.png", "000003.json", "000003.png"]
    account = json.loads((tmp_path / "000003.json").read_text())
    assert account["hypothesis"] == out.split("\n")[2]


@pytest.mark.long
def test_a_layer_that_is_not_there_is_refused(workdir, tmp_path):
    done = programs.run(
        "trainers.translate",
        f"--workdir={workdir}",
        f"--attention_dir={tmp_path}",
        "--attention_layer=1",
        stdin=b"ba du\n",
    )
    assert done.returncode == 64
    assert "--attention_layer=1: the model has 1, counted from 0" in done.stderr


def test_inspect_shows_the_buckets_and_ends_with_json(data_dir, tmp_path):
    picture = tmp_path / "buckets.png"
    page = programs.succeed(
        "pipeline.inspect",
        f"--data_dir={data_dir}",
        "--tokens_per_batch=512",
        "--num_buckets=4",
        "--compare",
        f"--plot={picture}",
    )
    result = json.loads(page.splitlines()[-1])
    assert result["examples"] == 300
    assert 0.3 < result["fill"] <= 1
    wanted = result["examples_per_sec"] / result["idiomatic_examples_per_sec"]
    assert result["ratio"] == pytest.approx(wanted)
    assert result["tokens_per_sec"] > 0
    assert "source  target   rows" in page
    assert "  source  ▁" in page
    choices = [line.split() for line in page.splitlines() if line.endswith("#")]
    fills = {row[0]: float(row[1]) for row in choices if len(row) == 4}
    assert list(fills) == ["1", "2", "4", "8", "16", "32", "64"]
    assert fills["1"] < fills["4"] == pytest.approx(result["fill"], abs=1e-3)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_inspect_shows_the_valid_split_of_the_directory_whatever_the_mixture(
    data_dir, tmp_path
):
    other = small_data.make(
        tmp_path, count=40, spm_model=data_dir / "shared.model", seed=4
    )
    page = programs.succeed(
        "pipeline.inspect",
        f"--data_dir={data_dir}",
        f"--mix={data_dir}:1,{other}:3",
        "--split=valid",
    )
    assert json.loads(page.splitlines()[-1])["examples"] == 20


def test_inspect_finds_damage_and_says_where(data_dir, tmp_path):
    """FAULTS 23."""
    broken = tmp_path / "data"
    shutil.copytree(data_dir, broken)
    shard = broken / "train-00000-of-00003.tfrecord"
    damage.flip_a_bit(shard, -30)
    done = programs.run("pipeline.inspect", f"--data_dir={broken}")
    assert done.returncode == 65, done.stderr
    assert f"{shard}: record 99: its data does not match" in done.stderr


@pytest.mark.long
def test_a_keras_model_is_trained_evaluated_and_decoded(data_dir, tmp_path):
    work = f"--workdir={tmp_path}"
    programs.succeed(
        "trainers.seq2seq",
        f"--data_dir={data_dir}",
        work,
        "--model=keras",
        "--keras_model=tests.keras_example:make",
        "--tokens_per_batch=512",
        "--num_steps=20",
        "--eval_every_steps=10",
    )
    assert json.loads((tmp_path / "summary.json").read_text())["train_step_traces"] == 1
    assert _result(work)["decoding_step_traces"] == 1


@pytest.mark.long
def test_damage_in_the_split_to_be_scored_is_named(data_dir, workdir, tmp_path):
    """FAULTS 23."""
    broken = tmp_path / "data"
    shutil.copytree(data_dir, broken)
    shard = broken / "test-00000-of-00001.tfrecord"
    damage.flip_a_bit(shard, -30)
    done = programs.run(
        "trainers.evaluate",
        f"--workdir={workdir}",
        "--split=test",
        f"--data_dir={broken}",
    )
    assert done.returncode == 65, done.stderr
    assert f"{shard}: record 19: its data does not match" in done.stderr


@pytest.mark.long
def test_a_byte_order_mark_is_no_part_of_a_file_that_is_scored(workdir, tmp_path):
    """FAULTS 12."""
    for name in ("src", "ref"):
        (tmp_path / name).write_text("\ufeffba du\nki mo\n")
    page = programs.succeed(
        "trainers.evaluate",
        f"--workdir={workdir}",
        f"--src_file={tmp_path / 'src'}",
        f"--ref_file={tmp_path / 'ref'}",
    )
    assert "  source      ba du\n" in page
    assert "\n  reference   ba du\n" in page


@pytest.mark.long
def test_files_without_a_word_can_be_scored(workdir, tmp_path):
    (tmp_path / "blank").write_text("\n")
    result = _result(
        f"--workdir={workdir}",
        f"--src_file={tmp_path / 'blank'}",
        f"--ref_file={tmp_path / 'blank'}",
    )
    assert result["examples"] == result["exact_match"] == 1
