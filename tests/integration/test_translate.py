"""What trainers.translate makes of good, strange and damaged input."""

import hashlib
import json
import os
import pty
import random
import shutil
import subprocess

import pytest

from tests import damage, programs

LINES = [
    b"ba du",
    b"",
    b"\xff\xfe",
    b"\x00\x01\x1b[2J",
    "😀 ba 👩\u200d👩\u200d👧".encode(),
    "\u202eabc \u05d0\u05d1 \u0627\u0644".encode(),
    "a\u2028b\u0085c\x0bd\x0ce".encode(),
    b"ba\tdu",
    b"ba du\r",
    b"   ",
]


def _translate(*flags: str, stdin: bytes = b"") -> str:
    return programs.succeed("trainers.translate", *flags, stdin=stdin)


MEASURED = """
import resource, runpy, sys
try:
    runpy.run_module("trainers.translate", run_name="__main__")
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def test_ten_thousand_lines_of_everything_give_as_many_in_bounded_memory(
    workdir, tmp_path
):
    """FAULTS 56, 57 and 58."""
    draw = random.Random(1)
    lines = [draw.choice(LINES) for _ in range(10_000)]
    long = draw.sample(range(10_000), 20)
    for number in long:
        lines[number] = b"ba du ki mo " * 1250
    before = [number for number, line in enumerate(lines) if not line.strip()]
    (tmp_path / "in").write_bytes(b"\n".join(lines))
    done = programs.run_code(
        MEASURED,
        f"--workdir={workdir}",
        f"--input={tmp_path / 'in'}",
        f"--output={tmp_path / 'out'}",
        "--max_length_ratio=1",
        "--max_source_tokens=256",
    )
    assert done.returncode == 0, done.stderr
    out = (tmp_path / "out").read_bytes()
    assert out.endswith(b"\n")
    said = out.split(b"\n")[:-1]
    assert len(said) == 10_000
    assert not any(len(line.decode().splitlines()) > 1 for line in said)
    assert not any(said[number] for number in before)
    # The same line has the same translation wherever it stands.
    for number, line in enumerate(lines):
        assert said[number] == said[lines.index(line)]
    assert "20 sources had more than 256 tokens and were cut" in done.stderr
    assert f"line {max(long) + 1}: " in done.stderr  # of the input, not of a chunk
    assert int(done.stderr.rpartition("peak ")[2]) < 3 << 20  # KiB


def test_no_input_gives_no_output(workdir):
    assert _translate(f"--workdir={workdir}") == ""


SHORT = b"ba du\n\nki mo\n"


@pytest.fixture(scope="module")
def best(workdir) -> list[str]:
    """The best translations of some lines, each after its score and a tab."""
    flags = (f"--workdir={workdir}", "--beam_size=4", "--with_scores")
    return _translate(*flags, stdin=SHORT).splitlines()


def _is_said_alike(one: str, other: str) -> bool:
    (score, *text), (other_score, *other_text) = one.split("\t"), other.split("\t")
    return text == other_text and abs(float(score) - float(other_score)) < 2e-4


def test_n_best_gives_as_many_lines_of_each_line(workdir, best):
    flags = (f"--workdir={workdir}", "--beam_size=4", "--with_scores", "--n_best=3")
    several = _translate(*flags, stdin=SHORT).splitlines()
    assert len(several) == 9
    assert all(map(_is_said_alike, several[::3], best))
    assert [line.split("\t")[-1] for line in several[3:6]] == [""] * 3


@pytest.mark.long
def test_an_ensemble_of_a_run_with_itself_says_the_same(workdir, best, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(workdir, again)
    flags = (f"--workdir={workdir}", "--beam_size=4", "--with_scores")
    together = _translate(*flags, f"--ensemble={again}", stdin=SHORT).splitlines()
    assert all(map(_is_said_alike, together, best))


@pytest.mark.long
def test_an_ensemble_of_other_words_is_refused(workdir, tmp_path):
    """FAULTS 60."""
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    (described,) = (other / "vocabulary").glob("*.json")
    model = other / "vocabulary" / json.loads(described.read_text())[0]["filename"]
    old = hashlib.sha256(model.read_bytes()).hexdigest()
    # A trailing field that SentencePiece does not know: another file, the same words.
    model.write_bytes(model.read_bytes() + b"\xfa\x7f\x00")
    new = hashlib.sha256(model.read_bytes()).hexdigest()
    described.write_text(described.read_text().replace(old, new))
    done = programs.run(
        "trainers.translate", f"--workdir={workdir}", f"--ensemble={other}"
    )
    assert done.returncode == 78
    assert f"--ensemble={other}: was trained with another vocabulary" in done.stderr


def test_targets_are_scored_line_by_line(workdir):
    pairs = b"ba du\tab ud\n\t\nki mo\tik om\nki mo\tba ba ba ba\n"
    scores = _translate(f"--workdir={workdir}", "--score", stdin=pairs).splitlines()
    assert len(scores) == 4
    assert float(scores[1]) == 0 > float(scores[0])
    assert float(scores[2]) > float(scores[3])


@pytest.mark.long
def test_prefixes_and_targets_come_from_files(workdir, tmp_path):
    (tmp_path / "prefixes").write_text("ki\nmo\n")
    (tmp_path / "short").write_text("ki\n")
    flag = f"--workdir={workdir}"
    out = _translate(
        flag, f"--prefix_file={tmp_path / 'prefixes'}", stdin=b"ba du\nba\n"
    )
    assert [line[:2] for line in out.splitlines()] == ["ki", "mo"]
    done = programs.run(
        "trainers.translate",
        flag,
        "--score",
        f"--target={tmp_path / 'short'}",
        stdin=b"ba du\nba\n",
    )
    assert done.returncode == 65
    assert "short: has fewer lines than the input" in done.stderr


@pytest.mark.long
def test_a_hypothesis_that_is_not_of_the_locale_is_written(workdir, tmp_path):
    """FAULTS 58; what is no subword of the model is said as U+2047."""
    (tmp_path / "prefix").write_text("中\n")
    out = programs.succeed(
        "trainers.translate",
        f"--workdir={workdir}",
        f"--prefix_file={tmp_path / 'prefix'}",
        stdin=b"ba\n",
        PYTHONIOENCODING="latin-1",
    )
    assert "\u2047" in out


def test_input_that_is_not_there_is_66_and_output_stays_as_it_was(workdir, tmp_path):
    """FAULTS 61."""
    target = tmp_path / "out"
    target.write_text("before")
    done = programs.run(
        "trainers.translate",
        f"--workdir={workdir}",
        "--input=/no/such/file",
        f"--output={target}",
    )
    assert done.returncode == 66
    assert "/no/such/file: no such file" in done.stderr
    done = programs.run(
        "trainers.translate",
        f"--workdir={workdir}",
        "--score",
        f"--output={target}",
        stdin=b"no tab\n",
    )
    assert done.returncode == 65
    assert "line 1: --score wants a source, a tab and a target" in done.stderr
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_exit_code_74(workdir):
    """FAULTS 61."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            programs.command("trainers.translate", f"--workdir={workdir}"),
            cwd=programs.ROOT,
            input=b"ba du\n" * 20,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74, done.stderr
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.long
def test_on_a_terminal_it_asks_for_each_line_until_ctrl_d(workdir):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        programs.command("trainers.translate", f"--workdir={workdir}"),
        cwd=programs.ROOT,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        os.close(slave)
        os.write(master, b"ba du\n")
        first = process.stdout.readline()  # before anything else is typed
        os.write(master, b"\n\x04")
        rest, errors = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0
    assert first.endswith(b"\n")
    assert rest == b"\n"
    assert errors.count(b"> ") == 3


def test_translation_needs_no_data_directory(workdir, tmp_path):
    """And its input may be a pipe."""
    alone = tmp_path / "alone"
    shutil.copytree(workdir, alone)
    flags = (alone / "run.flags").read_text().splitlines()
    kept = [line for line in flags if not line.startswith("--data_dir")]
    (alone / "run.flags").write_text("\n".join([*kept, "--data_dir=/gone", ""]))
    out = programs.succeed(
        *("trainers.translate", f"--workdir={alone}", "--input=/dev/stdin"),
        stdin=b"ba\n",
    )
    assert out.count("\n") == 1


def test_a_reader_that_goes_away_is_exit_code_74(workdir):
    """FAULTS 61."""
    process = subprocess.Popen(
        programs.command("trainers.translate", f"--workdir={workdir}"),
        cwd=programs.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        process.stdout.close()
        process.stdin.write(b"ba du\n" * 20)
        process.stdin.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 74, errors
    assert "the reader of our output has gone away" in errors


@pytest.mark.long
def test_a_model_that_lacks_variables_is_refused(workdir, tmp_path):
    """FAULTS 60."""
    broken = tmp_path / "broken"
    shutil.copytree(workdir, broken)
    text = (broken / "run.flags").read_text()
    (broken / "run.flags").write_text(text.replace("--num_layers=1", "--num_layers=2"))
    done = programs.run("trainers.translate", f"--workdir={broken}", stdin=b"ba\n")
    assert done.returncode == 78
    assert "of another model" in done.stderr


@pytest.mark.long
def test_a_damaged_checkpoint_is_bad_data_for_a_reader(workdir, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(workdir, broken)
    (data,) = (broken / "best").glob("*.data-*")
    damage.flip_a_bit(data, 100)
    done = programs.run("trainers.translate", f"--workdir={broken}", stdin=b"ba\n")
    assert done.returncode == 65
    assert str(broken / "best") in done.stderr
