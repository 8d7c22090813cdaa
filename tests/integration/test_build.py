"""preprocessing.build as a program: the same bytes always, and whole or not at all."""

import collections
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest
from sentencepiece import sentencepiece_model_pb2

from pipeline import exits, manifest, records, vocabulary
from tests import programs, small_data

BUILD = "preprocessing.build"
_SECOND = ".segmentation-1"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("corpus")
    text = "".join(f"{src}\t{tgt}\n" for src, tgt in small_data.pairs(9000))
    wrong = b"ba\t\nno columns\nb\xe9\tx\n"
    (folder / "pairs.tsv").write_bytes(text.encode() + wrong)
    return folder


def _flags(corpus: pathlib.Path, target: pathlib.Path, *more: str) -> list[str]:
    return [
        f"--data_dir={target}",
        f"--train={corpus / 'pairs.tsv'}",
        "--valid_fraction=0.02",
        "--test_fraction=0.02",
        "--vocab_size=200",
        "--num_shards=3",
        *more,
    ]


def _digest(directory: pathlib.Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


@pytest.fixture(scope="module")
def built(corpus) -> pathlib.Path:
    target = corpus / "whole" / "data"
    out = programs.succeed(BUILD, *_flags(corpus, target, "--num_workers=1"))
    assert "pairs read" in out
    return target


@pytest.fixture(scope="module")
def build_secs(corpus, tmp_path_factory) -> float:
    """How long a build takes, so that it can be killed in the middle."""
    begin = time.monotonic()
    target = tmp_path_factory.mktemp("timed") / "data"
    programs.succeed(BUILD, *_flags(corpus, target, "--num_workers=1"))
    return time.monotonic() - begin


def test_workers_hash_seed_locale_and_time_zone_do_not_change_a_byte(
    corpus, built, tmp_path
):
    """FAULTS 20."""
    flags = _flags(corpus, tmp_path / "data", "--num_workers=2")
    programs.succeed(BUILD, *flags, PYTHONHASHSEED="7", LC_ALL="C", TZ="Asia/Tokyo")
    assert _digest(tmp_path / "data") == _digest(built)


def test_the_shards_are_the_bytes_they_have_been(corpus, tmp_path):
    """FAULTS 20: the golden hash is what this test printed on 2026-11-28.

    Of characters, whose vocabulary no rounding of a sum can change.
    """
    flags = _flags(corpus, tmp_path / "data", "--model_type=char")
    programs.succeed(BUILD, *flags)
    digests = _digest(tmp_path / "data")
    shards = [name for name in digests if name.endswith((".tfrecord", ".lengths"))]
    together = "".join(f"{name} {digests[name]}\n" for name in shards)
    assert len(shards) == 2 * (3 + 1 + 1)
    found = hashlib.sha256(together.encode()).hexdigest()
    assert found == "b3fa1dba1529d66ce56486bd213942c052d11077c69f01f16ad79dc1b2034a0f"


def test_what_no_vocabulary_has_is_told(corpus, tmp_path):
    """A "|" between pronunciations, say, which was never in what was learned from."""
    valid = tmp_path / "valid.tsv"
    valid.write_text("ra la\tar | al\nra\tar\nra ga\tar | ag | ar\n")
    more = (f"--valid={valid}", "--valid_fraction=0")
    told = " of 3 records"
    flags = _flags(corpus, tmp_path / "words", *more, "--model_type=word")
    out = programs.succeed(BUILD, *flags)
    assert f"valid: 3 of 9 tgt subwords are unknown, in 2{told}\n" in out
    out = programs.succeed(BUILD, *_flags(corpus, tmp_path / "subwords", *more))
    assert f"tgt subwords are unknown, in 2{told}; see --byte_fallback\n" in out
    kept = _flags(corpus, tmp_path / "bytes", *more, "--byte_fallback")
    assert "unknown" not in programs.succeed(BUILD, *kept, "--vocab_size=500")


def test_drawn_segmentations_are_the_same_bytes_in_other_processes(corpus, tmp_path):
    more = ("--subword_samples=2", "--tgt_model_type=bpe")
    for name, workers in (("one", 1), ("two", 2)):
        flags = _flags(corpus, tmp_path / name, f"--num_workers={workers}", *more)
        programs.succeed(BUILD, *flags)
    digests = _digest(tmp_path / "one")
    assert digests == _digest(tmp_path / "two")
    shards = [name for name in digests if name.startswith("train-00000")]
    assert len({digests[name] for name in shards}) == len(shards) == 4


def test_a_given_model_of_one_segmentation_is_refused_with_subword_samples(
    corpus, tmp_path
):
    flags = _flags(corpus, tmp_path / "char", "--model_type=char", "--shared_vocab")
    programs.succeed(BUILD, *flags)
    given = [
        f"--data_dir={tmp_path / 'data'}",
        f"--train={corpus / 'pairs.tsv'}",
        f"--spm_model={tmp_path / 'char' / 'shared.model'}",
        "--subword_samples=2",
    ]
    refused = programs.run(BUILD, *given)
    assert refused.returncode == exits.USAGE
    (line,) = refused.stderr.splitlines()
    assert "--subword_samples=2:" in line
    assert "shared.model has one segmentation" in line


@pytest.mark.long
def test_models_of_another_build_give_the_same_shards_and_may_be_mixed(
    corpus, built, tmp_path
):
    """Separate vocabularies are handed over side by side, as --mix asks for them."""
    data = [f"--data_dir={tmp_path / 'data'}", f"--train={corpus / 'pairs.tsv'}"]
    splits = ["--valid_fraction=0.02", "--test_fraction=0.02", "--num_shards=3"]
    apart = ["pipeline.inspect", f"--data_dir={built}"]
    apart.append(f"--mix={built}:1,{tmp_path / 'data'}:1")
    programs.succeed(BUILD, *data, *splits, "--model_type=char")
    refused = programs.run(*apart)
    assert refused.returncode == exits.MISMATCH
    (told,) = refused.stderr.splitlines()
    models = told.partition("build it with ")[2].split()
    assert models == [
        f"--src_spm_model={built}/src.model",
        f"--tgt_spm_model={built}/tgt.model",
    ]
    programs.succeed(BUILD, *data, *splits, *models, "--overwrite")
    assert "examples in" in programs.succeed(*apart)
    ours, theirs = _digest(tmp_path / "data"), _digest(built)
    assert ours.pop("manifest.json") != theirs.pop("manifest.json")  # says whence
    assert ours == theirs


def test_a_model_given_for_the_other_side_is_another_build(corpus, built, tmp_path):
    given = f"spm_model={built / 'src.model'}"
    flags = [flag for flag in _flags(corpus, tmp_path / "data") if "vocab" not in flag]
    programs.succeed(BUILD, *flags, f"--src_{given}")
    assert "is up to date" in programs.run(BUILD, *flags, f"--src_{given}").stderr
    for other in (f"--tgt_{given}", f"--{given}"):
        refused = programs.run(BUILD, *flags, other)
        assert refused.returncode == exits.MISMATCH, refused.stderr


def test_beside_a_given_model_the_other_side_is_learned(corpus, built, tmp_path):
    given = f"--tgt_spm_model={built / 'tgt.model'}"
    learned = ["--src_model_type=char", "--lowercase"]
    programs.succeed(BUILD, *_flags(corpus, tmp_path / "data", given, *learned))
    made = _digest(tmp_path / "data")
    assert made["tgt.model"] == _digest(built)["tgt.model"]
    pieces = (tmp_path / "data" / "src.vocab").read_text().split("\n")
    assert max(len(line.partition("\t")[0]) for line in pieces[4:]) == 1
    # The target has segmentations to draw from; two sides of one each have none.
    again = [*_flags(corpus, tmp_path / "data", given, *learned), "--overwrite"]
    programs.succeed(BUILD, *again, "--subword_samples=2", "--model_type=char")
    made = _digest(tmp_path / "data")
    drawn = [made[f"train-00000-of-00003{kind}.tfrecord"] for kind in ("", _SECOND)]
    assert drawn[0] != drawn[1]
    fixed = f"--tgt_spm_model={tmp_path / 'data' / 'src.model'}"
    refused = programs.run(
        BUILD,
        *_flags(corpus, tmp_path / "other", fixed, *learned, "--subword_samples=2"),
    )
    assert refused.returncode == exits.USAGE
    assert "src.model has one segmentation" in refused.stderr


def test_the_numbers_add_up(built):
    """Promise P3."""
    facts = manifest.read(built)
    for split in facts.splits.values():
        assert split.pairs_read == split.num_records + sum(split.rejects.values())
    assert sum(split.pairs_read for split in facts.splits.values()) == 9003
    assert sum(split.num_records for split in facts.splits.values()) == 9000
    rejects = sum(
        (collections.Counter(split.rejects) for split in facts.splits.values()),
        collections.Counter(),
    )
    assert rejects == {"empty": 1, "columns": 1, "encoding": 1}
    assert facts.sources[0]["files"][0]["lines"] == 9003


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(k, marks=pytest.mark.long) for k in range(3, 10))]
)
def test_killed_at_any_moment_it_leaves_no_target_and_the_next_run_the_same_bytes(
    corpus, built, build_secs, tmp_path, seed
):
    """FAULTS 1."""
    target = tmp_path / "data"
    flags = _flags(corpus, target, f"--num_workers={1 + seed % 2}")
    moment = time.monotonic() + random.Random(seed).uniform(0.1, 1) * build_secs
    programs.stop_when(  # it may have ended by then
        BUILD, *flags, ready=lambda: time.monotonic() > moment, number=signal.SIGKILL
    )
    assert not target.exists() or _digest(target) == _digest(built)
    programs.succeed(BUILD, *flags)
    assert _digest(target) == _digest(built)
    assert not list(tmp_path.glob("data.tmp-*"))


def test_stopped_by_sigterm_it_cleans_up_and_says_75(corpus, tmp_path):
    """FAULTS 2."""
    target = tmp_path / "data"
    code, errors = programs.stop_when(
        BUILD,
        *_flags(corpus, target),
        ready=lambda: bool(list(tmp_path.glob("data.tmp-*"))),
        number=signal.SIGTERM,
    )
    assert code == 75, errors
    assert "stopped by SIGTERM" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["data.lock"]


def test_a_finished_directory_is_left_alone_or_refused_or_replaced(
    corpus, built, tmp_path
):
    """FAULTS 4 and 5."""
    target = tmp_path / "data"
    programs.succeed(BUILD, *_flags(corpus, target))
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    again = programs.run(BUILD, *_flags(corpus, target, "--num_workers=1"))
    assert again.returncode == 0
    assert "is up to date" in again.stderr
    shard = next(target.glob("train-*.tfrecord"))
    whole = shard.read_bytes()
    for damage in (whole[:-1], None):  # what is damaged is not up to date
        shard.unlink()
        if damage:
            shard.write_bytes(damage)
        damaged = programs.run(BUILD, *_flags(corpus, target))
        assert damaged.returncode == 65
        assert "--overwrite" in damaged.stderr
        shard.write_bytes(whole)
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    other = programs.run(BUILD, *_flags(corpus, target, "--lowercase", "--seed=5"))
    assert other.returncode == 78
    assert "lowercase: False there, True asked; seed: 1 there, 5 asked" in other.stderr
    assert {p.name: p.stat().st_mtime_ns for p in target.iterdir()} == before
    programs.succeed(BUILD, *_flags(corpus, target, "--lowercase", "--overwrite"))
    assert manifest.read(target).settings["lowercase"] is True
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["data", "data.lock"]


def test_other_content_under_the_same_name_is_refused(tmp_path):
    (tmp_path / "pairs.tsv").write_text("ba du\tab\n" * 30)
    programs.succeed(BUILD, *_flags(tmp_path, tmp_path / "data"))
    (tmp_path / "pairs.tsv").write_text("ki mo\tab\n" * 30)
    done = programs.run(BUILD, *_flags(tmp_path, tmp_path / "data"))
    assert done.returncode == 78
    assert "the input files have other content" in done.stderr


def test_a_rule_file_may_be_moved_but_not_changed(corpus, tmp_path):
    rules, moved = tmp_path / "rules.tsv", tmp_path / "moved.tsv"
    rules.write_text("0041\t0061\n")
    target = tmp_path / "data"
    programs.succeed(BUILD, *_flags(corpus, target, f"--normalize_rules={rules}"))
    rules.rename(moved)
    flags = _flags(corpus, target, f"--normalize_rules={moved}")
    path = target / manifest.FILENAME
    facts = json.loads(path.read_text())
    assert "normalize_rules" not in facts["settings"]
    facts["settings"]["normalize_rules"] = str(rules)  # as version 1.0.0 wrote it
    for content in (path.read_text(), json.dumps(facts)):
        path.write_text(content)
        again = programs.run(BUILD, *flags)
        assert (again.returncode, "is up to date" in again.stderr) == (0, True)
    moved.write_text("0042\t0062\n")
    other = programs.run(BUILD, *flags)
    assert other.returncode == 78
    assert "have other content" in other.stderr


def test_a_directory_of_something_else_is_not_touched(corpus, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("mine")
    for more in ([], ["--overwrite"]):
        done = programs.run(BUILD, *_flags(corpus, tmp_path / "data", *more))
        assert done.returncode == 78
        assert (tmp_path / "data" / "precious").read_text() == "mine"


def test_overwrite_never_removes_the_input_or_a_neighbour(tmp_path):
    """Raw text inside the target, and a folder whose name only looks like ours."""
    (tmp_path / "data").mkdir()
    text = "ba du\tab\n" * 30
    (tmp_path / "data" / "pairs.tsv").write_text(text)
    (tmp_path / "data.tmp-old").mkdir()
    flags = _flags(tmp_path / "data", tmp_path / "data", "--overwrite")
    done = programs.run(BUILD, *flags)
    assert done.returncode == 78, done.stderr
    assert (tmp_path / "data" / "pairs.tsv").read_text() == text
    assert (tmp_path / "data.tmp-old").is_dir()


def test_a_link_is_followed_to_the_directory_that_is_replaced(tmp_path):
    (tmp_path / "pairs.tsv").write_text("ba du\tab\n" * 30)
    (tmp_path / "disk" / "mine").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "mine")
    programs.succeed(BUILD, *_flags(tmp_path, tmp_path / "data", "--overwrite"))
    assert (tmp_path / "data").is_symlink()
    assert manifest.read(tmp_path / "disk" / "mine").splits["train"].num_records
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [
        "mine",
        "mine.lock",
    ]


def test_of_two_builds_at_once_the_second_is_refused(corpus, tmp_path):
    """FAULTS 6."""
    flags = _flags(corpus, tmp_path / "data")
    first = subprocess.Popen(
        programs.command(BUILD, *flags), cwd=programs.ROOT, stdout=subprocess.DEVNULL
    )
    with first:
        programs.wait_until(lambda: any(tmp_path.glob("data.tmp-*")), first)
        first.send_signal(signal.SIGSTOP)  # it may not finish before the second begins
        second = programs.run(BUILD, *flags)
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 73
    assert "another run is using it" in second.stderr
    assert first.returncode == 0


LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
runpy.run_module("preprocessing.build", run_name="__main__")
"""


def test_a_full_disk_is_exit_code_74_and_leaves_what_was_there(corpus, tmp_path):
    """FAULTS 3: first the model of subwords, of 241 kB, has no room, then a shard."""
    flags = _flags(corpus, tmp_path / "data", "--num_workers=1", "--num_shards=1")
    programs.succeed(BUILD, *flags)
    before = _digest(tmp_path / "data")
    for limit, file in ((60_000, "src.model"), (245_000, "train.0.0.partial")):
        done = programs.run_code(LIMITED, str(limit), *flags, "--seed=9", "--overwrite")
        assert done.returncode == 74, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if "sluice: " in line]
        assert f"/{file}: File too large; name a place" in line
        assert {path.name for path in tmp_path.iterdir()} == {"data", "data.lock"}
        assert _digest(tmp_path / "data") == before


FEW_FILES = """
import resource, runpy, sys
soft, hard = int(sys.argv.pop(1)), int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
runpy.run_module("preprocessing.build", run_name="__main__")
"""


@pytest.mark.parametrize("more", [["--num_shards=120"], ["--subword_samples=40"]])
def test_as_many_files_are_opened_as_the_machine_lets_or_none(corpus, tmp_path, more):
    """Before, this ended with too many open files, after subwords were learned."""
    flags = _flags(corpus, tmp_path / "data", "--num_workers=2", *more)
    refused = programs.run_code(FEW_FILES, "90", "90", *flags)
    assert refused.returncode == 64, refused.stderr
    assert "learning subwords" not in refused.stderr
    assert "--num_shards=" in refused.stderr
    assert "--subword_samples=" in refused.stderr
    done = programs.run_code(FEW_FILES, "90", "400", *flags)
    assert done.returncode == 0, done.stderr
    train = manifest.read(tmp_path / "data").splits["train"]
    assert sum(map(len, train.segmentations)) == 120


def test_workers_end_with_the_process_that_started_them(corpus, tmp_path):
    """Killed with -9, a build leaves no process and no lock behind."""
    flags = _flags(corpus, tmp_path / "data", "--num_workers=2")
    marker = str(tmp_path / "data")
    programs.kill_when(
        BUILD,
        *flags,
        ready=lambda: len(_processes(marker)) >= 3,
    )
    deadline = time.monotonic() + 10
    while _processes(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _processes(marker) == []


def _processes(marker: str) -> list[int]:
    """Returns the processes that have a text in their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if marker in path.read_text():
                found.append(int(path.parent.name))
    return found


def test_raw_text_at_translate_has_the_ids_of_the_shards(tmp_path):
    """One normalisation, kept in the model: whatever options it was made with."""
    raw = [
        "&Eacute;T&Eacute;\u200b \u201cChaud\u201d",
        "Une  stra\u00dfe \ufb01n\u2026",
    ]
    (tmp_path / "pairs.tsv").write_text(
        "".join(f"{text}\t{text}\n" for text in raw * 9)
    )
    programs.succeed(
        BUILD,
        f"--data_dir={tmp_path / 'data'}",
        f"--train={tmp_path / 'pairs.tsv'}",
        "--vocab_size=100",
        "--num_shards=1",
        *("--lowercase", "--unescape_html", "--remove_zero_width"),
        "--plain_punctuation",
    )
    facts = manifest.read(tmp_path / "data")
    models = vocabulary.load(tmp_path / "data", facts.pair_vocabularies())
    (path,) = facts.shard_paths(tmp_path / "data", "train")
    ((src, tgt, _),) = records.read_ids(path, 100)
    assert src.to_list() == models.src.encode(raw * 9)
    assert tgt.to_list() == models.tgt.encode(raw * 9)
    assert models.src.decode(src[:2].to_list()) == [
        'été "chaud"',
        "une straße fin...",
    ]


def test_several_formats_named_corpora_and_their_accounts(tmp_path):
    rows = small_data.pairs(300)
    (tmp_path / "a.csv").write_text(
        "n,en,de\n" + "".join(f'1,"{a}",{b}\n' for a, b in rows[:200])
    )
    (tmp_path / "b.csv").write_text("n,en,de\n" + "1,ba,ab\n" * 50)
    lines = [json.dumps({"t": {"en": a, "de": [b, b]}}) for a, b in rows[200:]]
    (tmp_path / "valid.jsonl").write_text("\n".join([*lines, '{"t": 1}']) + "\n")
    out = programs.succeed(
        BUILD,
        f"--data_dir={tmp_path / 'data'}",
        f"--train={tmp_path / 'a.csv'},{tmp_path / 'b.csv'}",
        "--train_names=news,web",
        "--train_weights=2,1",
        "--format=csv",
        "--columns=en,de",
        f"--valid={tmp_path / 'valid.jsonl'}",
        "--valid_format=jsonl",
        "--valid_columns=t.en,t.de",
        "--vocab_size=100",
        "--dedup",
        "--max_reject_fraction=0.1",
    )
    facts = manifest.read(tmp_path / "data")
    train = facts.splits["train"]
    assert (train.pairs_read, train.repeats) == (250, 200)
    assert train.rejects == {"duplicate": 49}
    assert train.num_records == 401
    assert facts.splits["valid"].rejects == {"columns": 1}
    news, web, valid = facts.sources
    assert (news["name"], news["weight"], news["rows"]) == ("news", 2.0, 200)
    assert (web["pairs_kept"], web["rejects"]) == (1, {"duplicate": 49})
    assert (valid["rows"], valid["pairs_kept"]) == (101, 100)
    assert "duplicate 49" in out
    assert "200 training records are repeats" in out
    rejects = gzip.decompress((tmp_path / "data" / "rejects.tsv.gz").read_bytes())
    assert rejects.decode().split("\n")[1] == "web\t3\tduplicate\tba\tab"
    programs.succeed("preprocessing.verify", f"--data_dir={tmp_path / 'data'}")


@pytest.mark.long
def test_names_of_corpora_are_the_same_in_every_locale(tmp_path):
    """FAULTS 20."""
    (tmp_path / "a.tsv").write_text("ba\tdu\n" * 40)
    (tmp_path / "a.flags").write_text("--train_names=Köln\n", "utf-8")
    flags = (f"--flagfile={tmp_path / 'a.flags'}", f"--train={tmp_path / 'a.tsv'}")
    plain = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, locale in (("one", {}), ("two", plain)):
        programs.succeed(BUILD, *flags, f"--data_dir={tmp_path / name}", **locale)
        assert manifest.read(tmp_path / name).sources[0]["name"] == "Köln"
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two")


def test_files_may_have_names_that_are_not_text(tmp_path):
    for name in (b"caf\xe9.tsv", b"a\tb\n.tsv"):
        path = tmp_path / os.fsdecode(name)
        path.write_text("".join(f"{a}\t{b}\n" for a, b in small_data.pairs(100)))
    programs.succeed(
        BUILD,
        f"--data_dir={tmp_path / 'data'}",
        f"--train={tmp_path}/*.tsv",
        "--valid_fraction=0.1",
        "--split_by=line",
        "--vocab_size=100",
        "--dedup",
    )
    names = [source["name"] for source in manifest.read(tmp_path / "data").sources]
    assert names == ["a\\tb\\n.tsv", "caf\\xe9.tsv"]
    out = programs.succeed("preprocessing.verify", f"--data_dir={tmp_path / 'data'}")
    assert "are as the manifest says" in out


def test_labels_get_ids_and_an_unseen_one_is_named(tmp_path):
    (tmp_path / "train.tsv").write_text("a fine film\tpos\nbad film\tneg\n" * 20)
    (tmp_path / "test.tsv").write_text("fine\tpos\nodd\tmeh\n")
    flags = [
        f"--data_dir={tmp_path / 'data'}",
        f"--train={tmp_path / 'train.tsv'}",
        f"--test={tmp_path / 'test.tsv'}",
        "--task=labels",
        "--vocab_size=50",
    ]
    done = programs.run(BUILD, *flags)
    assert done.returncode == 65
    assert "test.tsv, line 2 (test): 'meh' is none of the 2 labels" in done.stderr
    (tmp_path / "test.tsv").write_text("fine\tpos\n")
    assert "2 labels: neg, pos" in programs.succeed(BUILD, *flags)
    shown = programs.succeed(
        "preprocessing.verify", f"--data_dir={tmp_path / 'data'}", "--sample=1"
    )
    assert "test\tfine\tpos" in shown.split("\n")
    refused = programs.run(
        "trainers.seq2seq",
        f"--data_dir={tmp_path / 'data'}",
        f"--workdir={tmp_path / 'work'}",
    )
    assert refused.returncode == 65
    assert "texts with labels" in refused.stderr


def test_a_rare_label_and_an_empty_one_do_not_refuse_a_split_by_hash(tmp_path):
    rows = [f"film {number}\t{'np'[number % 2]}" for number in range(60)]
    rare = [f"odd {number}\trare{number}" for number in range(20)]
    blank = [f"none {number}\t" for number in range(20)]
    (tmp_path / "a.tsv").write_text("\n".join([*rows, *rare, *blank]) + "\n")
    out = programs.succeed(
        BUILD,
        f"--data_dir={tmp_path / 'data'}",
        f"--train={tmp_path / 'a.tsv'}",
        "--valid_fraction=0.3",
        "--task=labels",
        "--vocab_size=50",
    )
    assert "22 labels" in out
    facts = manifest.read(tmp_path / "data")
    train, valid = facts.splits["train"], facts.splits["valid"]
    assert train.rejects["empty"] + valid.rejects["empty"] == 20
    assert train.num_records + valid.num_records == 80
    programs.succeed("preprocessing.verify", f"--data_dir={tmp_path / 'data'}")


def test_a_file_that_is_not_laid_out_as_said_is_refused(tmp_path):
    (tmp_path / "pairs.tsv").write_text("ba\tab\n" * 90 + "ba ab\n" * 10)
    done = programs.run(
        BUILD, f"--data_dir={tmp_path / 'data'}", f"--train={tmp_path / 'pairs.tsv'}"
    )
    assert done.returncode == 65
    assert "pairs.tsv: 10 of 100 rows cannot be read" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_model_with_more_pieces_than_an_id_can_say_is_refused(data_dir, tmp_path):
    """FAULTS 19."""
    model = sentencepiece_model_pb2.ModelProto.FromString(
        (data_dir / "shared.model").read_bytes()
    )
    for number in range(65_536):
        model.pieces.add(piece=f"more{number}", score=-99.0)
    path = tmp_path / "large.model"
    path.write_bytes(model.SerializeToString())
    result = programs.run(
        "preprocessing.build",
        "--corpus=numbers",
        f"--spm_model={path}",
        f"--data_dir={tmp_path / 'data'}",
    )
    assert result.returncode == exits.MISMATCH
    assert "pieces, at most 65535" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_label_map_reaches_every_worker(tmp_path):
    rows = "".join(f"{src}\t{src[0]}\n" for src, _ in small_data.pairs(3000))
    (tmp_path / "labels.tsv").write_text(rows)
    names = sorted({line.split("\t")[1] for line in rows.splitlines()})
    (tmp_path / "map.tsv").write_text("".join(f"{n}\t{n.upper()}\n" for n in names))
    programs.succeed(
        BUILD,
        f"--data_dir={tmp_path / 'data'}",
        f"--train={tmp_path / 'labels.tsv'}",
        "--task=labels",
        f"--label_map={tmp_path / 'map.tsv'}",
        "--vocab_size=100",
        "--num_workers=2",
    )
    facts = manifest.read(tmp_path / "data")
    assert facts.label_names == [name.upper() for name in names]
    assert facts.split("train").num_records == 3000
