import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

from flags import binding
from pipeline import knobs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    """Sizes."""

    width: int = knobs.knob(8, "Width, in units.")
    kind: str = knobs.knob("a", "Which one.", choices=("a", "b"))

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"--width must be positive, got {self.width}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    """Everything."""

    inner: Inner
    path: str = knobs.knob(help_text="A file.")
    rate: float | None = knobs.knob(None, "A rate, in 1/s.")
    loud: bool = knobs.knob(False, "Whether to shout.")
    names: tuple[str, ...] = knobs.knob((), "Some names.")
    room: int | str | None = knobs.knob(None, "How much.", choices=("auto", "most"))


def test_values_reach_the_nested_dataclasses():
    config = binding.parse(
        ["--path=x", "--width=3", "--kind=b", "--rate=0.5", "--loud", "--names=a,b"],
        Outer,
    )
    assert config == Outer(
        inner=Inner(width=3, kind="b"), path="x", rate=0.5, loud=True, names=("a", "b")
    )


def test_a_knob_may_take_words_beside_integers():
    assert binding.parse(["--path=x", "--room=3"], Outer).room == 3
    assert binding.parse(["--path=x", "--room=auto"], Outer).room == "auto"
    with pytest.raises(binding.FlagError, match="integer or auto or most"):
        binding.parse(["--path=x", "--room=some"], Outer)
    assert "--room=INT|auto|most" in binding.help_text(Outer, "About.")


def test_defaults_are_those_of_the_dataclass():
    assert binding.parse(["--path=x"], Outer) == Outer(inner=Inner(), path="x")


def test_lines_of_a_config_parse_to_the_same_config():
    config = Outer(inner=Inner(width=3), path="x y", rate=1e-9, names=("a", "b"))
    assert binding.parse(binding.to_lines(config), Outer) == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path=x", "--widht=3"], "--widht: no such flag (did you mean --width?)"),
        (["--path=x", "stray"], "'stray' is not a flag"),
        (["--path=x", "flagfile=a.flags"], "'flagfile=a.flags' is not a flag"),
        (["--path=x", "--"], "'--' is not a flag"),
        (["--path=x", "--width=three"], "width"),
        (["--path=x", "--rate=inf"], "--rate=inf must be a finite number"),
        (["--path=x", "--rate=nan"], "--rate=nan must be a finite number"),
        (["--path=x", "--width=0"], "--width must be positive, got 0"),
        (["--path=x", "--kind=c"], "kind"),
        (["--path=x", "--width"], "--width needs a value"),
        (["--path="], "--path needs a value"),
        (["--width=3"], "--path is required: A file."),
        (["--path=x", "--undefok=widht", "--widht=3"], "--undefok: no such flag"),
        (["--path=x", "--flagfile"], "--flagfile needs a file"),
        (["--path=x", "--flagfile=none.flags"], "none.flags: No such file"),
    ],
)
def test_a_bad_command_line_is_refused_with_the_flag_named(arguments, message):
    with pytest.raises(binding.FlagError) as error:
        binding.parse(arguments, Outer)
    assert message in str(error.value)


def _write(path: pathlib.Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return f"--flagfile={path}"


def test_a_tilde_is_the_home_directory_in_texts_and_lists(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    file = _write(tmp_path / "a.flags", "--path=~/a", "--names=~/b:2,c~/d,~/e")
    config = binding.parse([file], Outer)
    assert config.path == "/home/me/a"
    assert config.names == ("/home/me/b:2", "c~/d", "/home/me/e")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--path=x   # where", "a comment has a line of its own"),
        ("--path=x #", "a comment has a line of its own"),
        ('--path="x y"', "values have no quotes"),
        ("--path='x'", "values have no quotes"),
    ],
)
def test_what_only_a_shell_takes_off_is_refused_in_a_flagfile(line, message, tmp_path):
    with pytest.raises(binding.FlagError, match=f"a.flags:1: .*{message}"):
        binding.parse([_write(tmp_path / "a.flags", line)], Outer)
    assert binding.parse([line], Outer).path == line.removeprefix("--path=")


def test_a_number_sign_within_a_value_is_one(tmp_path):
    file = _write(tmp_path / "a.flags", "--path=a#b/#c", "--names='a',b\"")
    assert binding.parse([file], Outer).path == "a#b/#c"


def test_a_later_flag_wins_over_the_flagfile_and_over_what_it_includes(tmp_path):
    base = _write(tmp_path / "base.flags", "--width=1", "--kind=b", "--path=base")
    top = _write(tmp_path / "top.flags", "# a comment", "", base, "--width=2")
    config = binding.parse([top, "--path=mine"], Outer)
    assert config == Outer(inner=Inner(width=2, kind="b"), path="mine")


def test_a_message_names_file_and_line_of_a_bad_flag(tmp_path):
    flagfile = _write(tmp_path / "a.flags", "# first", "--path=x", "--widht=3")
    with pytest.raises(binding.FlagError, match=r"a\.flags:3: --widht: no such flag"):
        binding.parse([flagfile], Outer)


def test_a_flagfile_line_without_dashes_is_refused(tmp_path):
    flagfile = _write(tmp_path / "a.flags", "--path=x", "width=3")
    with pytest.raises(binding.FlagError, match=r"a\.flags:2: 'width=3' is not a flag"):
        binding.parse([flagfile], Outer)


def test_a_flagfile_that_includes_itself_is_refused(tmp_path):
    one, two = tmp_path / "one.flags", tmp_path / "two.flags"
    _write(one, f"--flagfile={two}")
    _write(two, f"--flagfile={one}")
    with pytest.raises(binding.FlagError, match="includes itself"):
        binding.parse([f"--flagfile={one}"], Outer)


def test_a_flagfile_that_is_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "a.flags").symlink_to("a.flags")
    with pytest.raises(binding.FlagError, match=r"a\.flags: is a link that leads back"):
        binding.parse([f"--flagfile={tmp_path / 'a.flags'}"], Outer)


def test_a_flagfile_may_be_included_twice(tmp_path):
    base = _write(tmp_path / "base.flags", "--path=base")
    assert binding.parse([base, base], Outer).path == "base"


def test_help_shows_groups_units_and_defaults():
    text = binding.help_text(Outer, "What it does.")
    assert text.startswith("What it does.")
    assert "Sizes." in text
    assert "--width=INT\n      Width, in units. (default: 8)" in text
    assert "--kind=a|b" in text
    assert "A file. (required)" in text


def test_help_shows_defaults_as_a_flag_takes_them():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Lists:
        """Lists."""

        parts: tuple[str, ...] = knobs.knob(("bias", "scale"), "Some parts.")
        word: str = knobs.knob("", "A word.")

    text = binding.help_text(Lists, "What it does.")
    assert "Some parts. (default: bias,scale)" in text
    assert "A word. (not set)" in text


def test_help_lists_what_every_program_takes():
    text = binding.help_text(Inner, "What it does.")
    assert "  --flagfile=FILE\n" in text
    assert "  --version\n" in text


def test_a_knob_declared_twice_is_a_bug():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Twice:
        """Both."""

        inner: Inner
        width: int = knobs.knob(1, "Again.")

    with pytest.raises(TypeError, match="width"):
        binding.parse([], Twice)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], os.EX_OK), (["--nonsense=1"], os.EX_USAGE)]
)
def test_the_program_ends_with_its_code_before_tensorflow_is_imported(arguments, code):
    script = (
        "import sys\n"
        "from flags import binding\n"
        "from trainers import config\n"
        "try:\n"
        "    binding.parse_or_exit(sys.argv, config.Seq2SeqConfig, 'About.')\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == (0 if code == os.EX_OK else 1)
