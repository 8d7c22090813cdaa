"""preprocessing.build --runner=beam: the bytes of the local runner, whoever does it."""

import gzip
import hashlib
import json
import os
import pathlib
import random
import signal
import warnings

import pytest

from flags import binding
from pipeline import exits
from preprocessing import build, chunks, config, line_ranges
from tests import programs, small_data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("apache_beam", reason="needs the extra beam: make setup-beam")

pytestmark = pytest.mark.filterwarnings("ignore")  # Beam's own

THREADS = "--beam_options=--direct_num_workers=2,--direct_running_mode=multi_threading"
PROCESSES = THREADS.replace("threading", "processing")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    """Chunks and ranges so small that every file has many."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 37)
    monkeypatch.setattr(line_ranges, "RANGE_BYTES", 1500)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> pathlib.Path:
    """Files of many kinds, with all that can be wrong on a line."""
    folder = tmp_path_factory.mktemp("corpus")
    pairs = small_data.pairs(400)
    odd = [b"ba\t", b"no columns", b"b\xe9\tx", b"a\0b\tx", b"x" * 40_000 + b"\ty"]
    lines = [f"{src}\t{tgt}".encode() for src, tgt in [*pairs, *pairs[:50]]] + odd
    random.Random(5).shuffle(lines)
    (folder / "train.tsv").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    held_out = [f"{src}\t{tgt}" for src, tgt in [*small_data.pairs(30, 7), *pairs[:9]]]
    (folder / "valid.tsv").write_text("\n".join(held_out) + "\n")
    for number, name in enumerate(("a", "b", "c.gz")):
        for side, column in (("src", 0), ("tgt", 1)):
            found = small_data.pairs(120 + number, 20 + number)
            text = "".join(f"{pair[column]}\n" for pair in found).encode()
            packed = gzip.compress(text, mtime=0) if name == "c.gz" else text
            (folder / f"{side}.{name}").write_bytes(packed)
    labels = [f"{src}\t{src[0]}\n" for src, _ in pairs]
    (folder / "labels.tsv").write_text("".join(labels))
    names = "".join(f"{letter}\t{letter.upper()}\n" for letter in "bdfgklmnprst")
    (folder / "map.tsv").write_text(names)
    rows = "".join(f'"{src}\n more",{tgt}\n' for src, tgt in small_data.pairs(90, 3))
    (folder / "rows.csv").write_text("src,tgt\n" + rows)
    return folder


CASES = {
    "tsv_with_rejects_and_duplicates": [
        "--train={}/train.tsv",
        "--valid={}/valid.tsv",
        "--dedup",
        "--drop_overlap",
        "--store_text",
        "--spm_sample=150",
    ],
    "sources_alone_decide_and_shards_may_be_empty": [
        "--train={}/train.tsv",
        "--valid={}/valid.tsv",
        "--dedup",
        "--same_by=source",
        "--shared_vocab",
        "--num_shards=900",
        "--min_length=9",
    ],
    "parallel_files_packed_ones_too_dealt_by_hash": [
        "--train_src={}/src.a,{}/src.b,{}/src.c.gz",
        "--train_tgt={}/tgt.a,{}/tgt.b,{}/tgt.c.gz",
        "--valid_fraction=0.1",
        "--test_fraction=0.1",
        "--split_by=line",
        "--train_weights=1,1.5,0.5",
        "--subword_samples=2",
    ],
    "labels": [
        "--train={}/labels.tsv",
        "--task=labels",
        "--valid_fraction=0.1",
        "--overlong=truncate",
        "--max_length=4",
        "--label_map={}/map.tsv",
    ],
    "rows_that_only_a_parser_finds": [
        "--train={}/rows.csv,{}/rows.csv",
        "--format=csv",
        "--columns=src,tgt",
        "--valid={}/valid.tsv",
        "--valid_format=tsv",
        "--valid_columns=1,2",
        "--spm_sample=100",
    ],
}


def _build(target: pathlib.Path, *flags: str) -> int:
    common = [f"--data_dir={target}", "--vocab_size=60", "--max_reject_fraction=0.1"]
    return build.main(binding.parse([*common, *flags], config.BuildConfig))


def _digest(directory: pathlib.Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


def _differing(corpus, folder: pathlib.Path, flags: list[str], *beam: str) -> set[str]:
    """Builds twice; returns which files are not the same."""
    given = [flag.replace("{}", str(corpus)) for flag in flags]
    if not any(flag.startswith("--num_shards") for flag in given):
        given.append("--num_shards=3")
    _build(folder / "local", *given, "--num_workers=1")
    _build(folder / "beam", *given, "--runner=beam", *beam)
    left = {path.name for path in folder.iterdir()}
    assert left == {"local", "beam", "local.lock", "beam.lock"}
    local, beam_made = _digest(folder / "local"), _digest(folder / "beam")
    return {name for name, _ in local.items() ^ beam_made.items()}


@pytest.mark.parametrize("case", CASES)
def test_every_byte_is_that_of_the_local_runner(corpus, tmp_path, case):
    # Several workers where order could matter most; each costs a second a step.
    several = [THREADS] if {"--dedup", "--subword_samples=2"} & {*CASES[case]} else []
    assert _differing(corpus, tmp_path, CASES[case], *several) == set()


def test_the_cases_hold_what_they_are_named_for(corpus, tmp_path):
    """So that equal bytes are not those of nothing."""
    flags = CASES["tsv_with_rejects_and_duplicates"]
    _build(tmp_path / "data", *[flag.replace("{}", str(corpus)) for flag in flags])
    train = json.loads((tmp_path / "data" / "manifest.json").read_text())["splits"][
        "train"
    ]
    wanted = {"columns", "control", "duplicate", "empty", "encoding", "overlap"}
    assert wanted | {"too_long"} == set(train["rejects"])


def test_a_remote_data_directory_gets_the_same_bytes(corpus, tmp_path):
    """`file://` stands for `gs://`: both go through tf.io.gfile."""
    flags = [flag.replace("{}", str(corpus)) for flag in CASES["labels"]]
    _build(tmp_path / "local", *flags)
    remote = f"--data_dir=file://{tmp_path}/remote"
    for name in (  # of one that was killed before its manifest
        *("rejects.tsv.gz", "src.model", "src.vocab"),
        "train-00000-of-00099.tfrecord",
    ):
        left = tmp_path / "remote" / name
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"left over")
    for _ in range(2):  # the second one finds it done
        assert (
            _build(tmp_path / "unused", *flags, remote, "--runner=beam", THREADS) == 0
        )
        assert _digest(tmp_path / "remote") == _digest(tmp_path / "local")
    left_there = {path.name for path in tmp_path.iterdir()}
    assert left_there == {"local", "local.lock", "remote"}
    with pytest.raises(exits.Refusal, match="seed: 1 there, 2 asked"):
        _build(tmp_path / "unused", *flags, remote, "--runner=beam", "--seed=2")


@pytest.mark.parametrize("runner", ["local", "beam"])
def test_remote_sources_are_read_as_local_ones(corpus, tmp_path, runner):
    flags = [
        "--train_src={}/src.[ab],{}/src.c.gz",
        "--train_tgt={}/tgt.[ab],{}/tgt.c.gz",
        "--valid={}/rows.csv",
        "--valid_format=csv",
    ]
    _build(tmp_path / "plain", *[flag.replace("{}", str(corpus)) for flag in flags])
    given = [flag.replace("{}", f"file://{corpus}") for flag in flags]
    _build(tmp_path / "remote", *given, f"--runner={runner}")
    assert _digest(tmp_path / "remote") == _digest(tmp_path / "plain")


def test_a_remote_directory_of_something_else_is_not_touched(corpus, tmp_path):
    (tmp_path / "src.model").write_text("mine")
    remote = f"--data_dir=file://{tmp_path}"
    with pytest.raises(exits.Refusal, match="holds 'src.model'"):
        _build(tmp_path, f"--train={corpus}/labels.tsv", remote, "--runner=beam")
    assert [path.name for path in tmp_path.iterdir()] == ["src.model"]


def test_a_second_build_does_nothing_and_other_settings_are_refused(corpus, tmp_path):
    flags = [f"--train={corpus}/labels.tsv", f"--data_dir={tmp_path / 'data'}"]
    beam = ["--vocab_size=60", "--runner=beam"]
    asked = binding.parse([*flags, *beam], config.BuildConfig)
    assert build.main(asked) == exits.DONE
    before = (tmp_path / "data" / "manifest.json").stat().st_mtime_ns
    local = binding.parse([*flags, "--vocab_size=60"], config.BuildConfig)
    for again in (asked, local):
        assert build.main(again) == exits.DONE
    assert (tmp_path / "data" / "manifest.json").stat().st_mtime_ns == before
    other = binding.parse([*flags, *beam, "--seed=2"], config.BuildConfig)
    with pytest.raises(exits.Refusal, match="seed: 1 there, 2 asked"):
        build.main(other)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--train={}/labels.tsv", "--task=labels", "--valid={}/valid.tsv"], 65,
         "none of the .* labels"),
        (["--train_src={}/src.a", "--train_tgt={}/tgt.b"], 65, "120 lines and .* 121"),
        (["--train={}/train.tsv", "--max_reject_fraction=0"], 65, "are not utf-8"),
        (["--train={}/labels.tsv", "--beam_runner=NoRunner"], 64, "=NoRunner: "),
        (["--train={}/labels.tsv", "--beam_runner=apache_beam.Nope"], 64, "Nope"),
        (["--train={}/labels.tsv", "--beam_runner=json.JSONDecoder"], 64, "no engine"),
        (["--train={}/labels.tsv", "--beam_options=--help"], 64, "--help: "),
        (["--train={}/labels.tsv", "--beam_options=--direct_num_workers=x"], 64,
         "argument --direct_num_workers: invalid int"),
        (["--train={}/labels.tsv", "--beam_options=--no_such=1"], 64,
         "=--no_such=1: DirectRunner has no such option"),
    ],
)  # fmt: skip
def test_what_the_local_runner_refuses_is_refused_in_one_line(
    corpus, tmp_path, flags, code, message
):
    given = [flag.replace("{}", str(corpus)) for flag in flags]
    with pytest.raises(exits.Refusal, match=message) as refused:
        _build(tmp_path / "data", *given, "--runner=beam")
    assert refused.value.code == code
    assert "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"data.lock"}


def test_a_file_that_changes_meanwhile_is_noticed(corpus, tmp_path, monkeypatch):
    """FAULTS 16."""
    from preprocessing import beam_runner

    path = tmp_path / "own.tsv"
    path.write_bytes((corpus / "labels.tsv").read_bytes())
    encode = beam_runner.BeamRunner.encode

    def late(self, *given):
        os.utime(path, ns=(1, 1))
        return encode(self, *given)

    monkeypatch.setattr(beam_runner.BeamRunner, "encode", late)
    with pytest.raises(exits.Refusal, match="changed while it was read"):
        _build(tmp_path / "data", f"--train={path}", "--runner=beam")


def _program(corpus, target, *more: str) -> list[str]:
    return [
        f"--data_dir={target}",
        f"--train={corpus / 'train.tsv'}",
        "--max_reject_fraction=0.1",
        "--vocab_size=60",
        "--dedup",
        *more,
    ]


@pytest.mark.long
def test_worker_processes_write_the_same_bytes(corpus, tmp_path):
    local, beam = tmp_path / "local", tmp_path / "beam"
    programs.succeed("preprocessing.build", *_program(corpus, local))
    flags = _program(corpus, beam, "--runner=beam", PROCESSES)
    programs.succeed("preprocessing.build", *flags, PYTHONHASHSEED="7", LC_ALL="C")
    assert _digest(local) == _digest(beam)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_it_leaves_no_target(corpus, tmp_path, number):
    """FAULTS 1 and 2."""
    target = tmp_path / "data"
    flags = _program(corpus, target, "--runner=beam", THREADS)
    code, errors = programs.stop_when(
        "preprocessing.build",
        *flags,
        ready=lambda: any(tmp_path.glob("data.tmp-*/*.model")),
        number=number,
    )
    assert not target.exists()
    if number == signal.SIGTERM:
        assert code == exits.PREEMPTED, errors
        assert {path.name for path in tmp_path.iterdir()} == {"data.lock"}
    programs.succeed("preprocessing.build", *flags)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "data.lock"}


@pytest.mark.long
def test_a_full_disk_is_exit_code_74_and_leaves_nothing(corpus, tmp_path):
    """FAULTS 3: files have room for a model of subwords here, and not for a shard."""
    code = (
        "import resource, runpy, signal, sys; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (245_000, 245_000)); "
        "sys.argv[0] = 'build'; "
        "runpy.run_module('preprocessing.build', run_name='__main__')"
    )
    done = programs.run_code(
        code, *_program(corpus, tmp_path / "data", "--num_shards=1", "--runner=beam")
    )
    assert done.returncode == exits.DISK, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"data.lock"}
