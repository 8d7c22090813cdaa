"""What a user can get wrong: one line on stderr, and the exit code that says what."""

import itertools
import os
import pathlib
import shutil
import subprocess

import pytest

from flags import binding
from tests import programs, small_data, small_runs


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder with small text files: a (3 lines), b (3), short (2), empty (0)."""
    folder = tmp_path_factory.mktemp("texts")
    for name, text in (
        ("a", "ba du\nki mo\nla pe\n"),
        ("b", "ab ud\nik om\nal ep\n"),
        ("short", "ab ud\nik om\n"),
        ("empty", ""),
        ("blank", "\n\n\n"),
    ):
        (folder / name).write_text(text)
    return folder


def _refused(code, message, module, *flags):
    done = programs.run(module, *flags)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("sluice: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in message.split(" ... "):
        assert part in lines[0]


BUILD = "preprocessing.build"
TRAIN = "trainers.seq2seq"


@pytest.mark.parametrize(
    ("code", "message", "src", "tgt"),
    [
        (66, "--train_src= ... /missing: no such file", "missing", "b"),
        (66, "--train_tgt= ... /none-*: no file has such a name", "a", "none-*"),
        (65, "/a has 3 lines and ... /short has 2", "a", "short"),
        (65, "0 training examples", "empty", "empty"),
        (65, "0 training examples ... (blank | b, line 1: empty)", "blank", "b"),
    ],
)
def test_a_build_names_what_is_wrong_with_its_input(
    texts, tmp_path, code, message, src, tgt
):
    """FAULTS 9, 10 and 17."""
    flags = [f"--train_src={texts / src}", f"--train_tgt={texts / tgt}"]
    _refused(code, message, BUILD, f"--data_dir={tmp_path / 'data'}", *flags)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["data.lock"])


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        (BUILD, ["--data_dir=d", "--corpsu=numbers"], "--corpsu: no such flag"),
        (BUILD, ["--data_dir=d"], "no corpus: give --corpus"),
        (BUILD, ["--data_dir=d", "--corpus=nummers"], "corpus ... cmudict|numbers"),
        (BUILD, ["--data_dir=d", "--corpus=numbers", "x"], "'x' is not a flag"),
        (TRAIN, ["--workdir=w"], "--data_dir is required"),
        (TRAIN, ["--data_dir=d", "--workdir=w", "--num_steps=many"], "num_steps"),
        (TRAIN, ["--data_dir=d", "--workdir=w", "--d_model=7"], "--d_model=7"),
        (
            "pipeline.inspect",
            ["--data_dir=d", "--compare", "--benchmark_secs=0"],
            "--benchmark_secs",
        ),
        ("trainers.evaluate", ["--workdir=w", "--split=dev"], "split"),
        (
            "trainers.translate",
            ["--workdir=w", "--checkpoints=all"],
            "--checkpoints=all",
        ),
        *(
            (
                "trainers.translate",
                ["--workdir=w", "--score", flag],
                f"--score ... leave {flag.partition('=')[0]} out",
            )
            for flag in (
                *("--with_scores", "--beam_size=4", "--min_length=1"),
                *("--no_repeat_ngram=3", "--prefix_file=p"),
            )
        ),
        (
            "trainers.translate",
            ["--workdir=w", "--exact_search"],
            "--exact_search ... needs --beam_size above 1",
        ),
        (
            "trainers.translate",
            ["--workdir=w", "--attention_head=1"],
            "--attention_head=1 needs --attention_dir",
        ),
        (
            "trainers.evaluate",
            ["--workdir=w", "--src_file=a", "--ref_file=b", "--split=test"],
            "--src_file is in the place of a split: leave --split out",
        ),
        (
            "trainers.evaluate",
            ["--workdir=w", "--src_file=a", "--ref_file=b", "--data_dir=d"],
            "leave --data_dir out",
        ),
    ],
)
def test_a_bad_flag_is_exit_code_64(module, flags, message):
    """FAULTS 51."""
    _refused(64, message, module, *flags)


@pytest.mark.parametrize(
    ("module", "flags"),
    [(TRAIN, ["--workdir=w"]), ("pipeline.inspect", [])],
)
def test_a_data_directory_must_be_there_and_finished(tmp_path, module, flags):
    """FAULTS 27."""
    missing = tmp_path / "none"
    _refused(
        66,
        f"--data_dir={missing}: no such dir",
        module,
        f"--data_dir={missing}",
        *flags,
    )
    _refused(66, "has no manifest.json", module, f"--data_dir={tmp_path}", *flags)


def test_a_mount_point_is_no_place_to_move_a_directory_to():
    _refused(
        64,
        "--data_dir=/proc: is a mount",
        BUILD,
        "--corpus=numbers",
        "--data_dir=/proc",
    )
    assert not pathlib.Path("/proc.lock").exists()


def test_a_vocabulary_that_is_not_the_manifests_is_refused(own_data_dir, tmp_path):
    """FAULTS 29."""
    other = small_data.make(tmp_path / "other", count=40)
    shutil.copy(other / "shared.model", own_data_dir / "shared.model")
    flags = [f"--data_dir={own_data_dir}", f"--workdir={tmp_path / 'work'}"]
    _refused(78, "shared.model: is not the vocabulary", TRAIN, *flags)
    assert not (tmp_path / "work").exists()


def test_a_workdir_that_is_no_run_is_refused(tmp_path):
    for module in ("trainers.evaluate", "trainers.translate"):
        _refused(66, f"--workdir={tmp_path}", module, f"--workdir={tmp_path}")


def test_a_data_directory_that_is_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "data").symlink_to(tmp_path / "data")
    flags = (f"--data_dir={tmp_path / 'data'}", "--corpus=numbers")
    _refused(66, f"--data_dir={tmp_path / 'data'}: is a link", BUILD, *flags)


@pytest.mark.parametrize(
    "module",
    [BUILD, TRAIN, "pipeline.inspect", "trainers.evaluate", "trainers.translate"],
)
def test_help_is_a_page_and_exit_code_0(module):
    version = programs.succeed(module, "--version")
    assert version == f"sluice {binding.VERSION}\n"
    page = programs.succeed(module, "--help")
    assert f"python -m {module}" in page
    assert "(default: " in page


def test_help_that_is_not_read_to_its_end_is_no_error():
    """As of `--help | head -1`, where the reader goes before all is written."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as gone:
        done = subprocess.run(
            programs.command("trainers.seq2seq", "--help"),
            cwd=programs.ROOT,
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Working directories with nothing but flags."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (
        ("texts", ""),
        ("classes", "--pooling=mean\n"),
        ("plain", "--model=rnn\n--attention=none\n"),
    ):
        (folder / name).mkdir()
        flags = f"--data_dir={folder / 'data'}\n--workdir={folder / name}\n{more}"
        (folder / name / "run.flags").write_text(flags)
    return folder


@pytest.mark.parametrize(
    ("code", "message", "run", "flag"),
    [
        (66, "--against= ... is a run of trainers.seq2vec", "texts", "against=classes"),
        (66, "--against= ... has no run.flags", "texts", "against=none"),
        (66, "--ensemble= ... has no run.flags", "texts", "ensemble=none"),
        (64, "--against ... for a run that says texts", "classes", "against=texts"),
        (64, "--beam_size ... for a run that says texts", "classes", "beam_size=4"),
        (64, "--min_length ... for a run that says texts", "classes", "min_length=2"),
        (64, "--baseline ... for a run that says texts", "classes", "baseline"),
    ],
)
def test_evaluate_refuses_what_a_run_cannot_do_before_the_work(
    runs, code, message, run, flag
):
    name, _, value = flag.partition("=")
    given = (
        f"--{name}={runs / value}" if value in ("texts", "classes", "none") else None
    )
    _refused(
        code,
        message,
        "trainers.evaluate",
        f"--workdir={runs / run}",
        given or f"--{flag}",
    )


@pytest.mark.parametrize("program", ["trainers.translate", "trainers.serve"])
def test_a_run_that_is_not_there_is_named_by_its_flag(runs, program):
    flags = (f"--workdir={runs / 'texts'}", f"--ensemble={runs / 'none'}")
    _refused(66, f"--ensemble={runs / 'none'}: has no run.flags", program, *flags)


def test_attention_is_not_drawn_of_a_model_that_has_none(runs):
    flags = (f"--workdir={runs / 'plain'}", "--attention_dir=d")
    message = "--attention_dir=d ... --model=rnn has no attention to draw"
    _refused(78, message, "trainers.translate", *flags)


def test_labels_that_cannot_be_read_are_bad_data(runs):
    (runs / "classes" / "labels.json").write_text('["a", ')
    _refused(65, "labels.json", "trainers.predict", f"--workdir={runs / 'classes'}")


def test_a_side_is_of_vectors(runs):
    flags = (f"--workdir={runs / 'classes'}", "--side=tgt")
    _refused(64, "--side=tgt ... --vectors", "trainers.predict", *flags)


def test_a_picture_is_a_png(tmp_path):
    _refused(
        64,
        "--plot ... .png ... x.foo",
        "pipeline.inspect",
        f"--data_dir={tmp_path}",
        "--plot=x.foo",
    )


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    """A data directory with a text of 16,000 words, and short ones."""
    folder = tmp_path_factory.mktemp("long")
    words = itertools.cycle("abdegiklmnoprstu")
    lengths = [16_000, *range(1, 30)]
    lines = [" ".join(itertools.islice(words, length)) for length in lengths]
    (folder / "text").write_text("".join(f"{line}\n" for line in lines))
    programs.succeed(
        BUILD,
        f"--train_src={folder / 'text'}",
        f"--train_tgt={folder / 'text'}",
        f"--data_dir={folder / 'data'}",
        *("--shared_vocab", "--vocab_size=30", "--num_shards=1"),
        *("--max_length=30000", "--max_bytes=60000"),
    )
    return folder / "data"


@pytest.mark.long
@pytest.mark.parametrize(
    ("budget", "way_out"),
    [
        ("40_000", "lower --tokens_per_batch or --attention_budget"),
        ("auto", "lower --max_length"),
    ],
)
def test_a_batch_that_memory_has_no_room_for_is_refused(
    long_text, tmp_path, budget, way_out
):
    """FAULTS 53; its attention would take half a terabyte."""
    _refused(
        64,
        f"no room for training with batches of 1 x ... {way_out}",
        TRAIN,
        *small_runs.flags(long_text, tmp_path, "--d_model=512", "--num_heads=512"),
        f"--tokens_per_batch={budget}",
        "--num_buckets=1",
    )


@pytest.mark.long
@pytest.mark.parametrize("module", ["trainers.translate", "trainers.evaluate"])
def test_a_text_that_memory_has_no_room_for_is_refused(workdir, tmp_path, module):
    """FAULTS 53; its attention would take most of a terabyte."""
    (tmp_path / "long").write_text("ba " * 300_000)
    _refused(
        64,
        "no room for decoding with --beam_size=1; lower --max_source_tokens",
        module,
        f"--workdir={workdir}",
        "--max_source_tokens=600_000",
        *(
            [f"--input={tmp_path / 'long'}"]
            if module == "trainers.translate"
            else [f"--src_file={tmp_path / 'long'}", f"--ref_file={tmp_path / 'long'}"]
        ),
    )
