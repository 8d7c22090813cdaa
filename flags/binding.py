"""A frozen config dataclass becomes absl flags, and parsed flags become the dataclass.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class TrainConfig:
        "How to train."
        num_steps: int = knob(1000, "Optimizer updates.")   ->   --num_steps=1000

A config may hold other configs; their knobs become flags beside its own, grouped in
`--help` under the first line of each docstring. `__post_init__` validates, so that a
bad value ends here, in one line, before TensorFlow is imported.

absl accepts stray arguments, flagfile lines without dashes and circular flagfiles. In
a batch job each of them means a run with other settings than the user believes, so
flagfiles are expanded here, with the file and line kept for the message.
"""

import dataclasses
import difflib
import math
import os
import pathlib
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

from absl import flags as absl_flags

Config = TypeVar("Config")

_HELP_FLAGS = {"--help", "-help", "-h", "--helpfull", "--helpshort"}
_FLAGFILE = "flagfile"
_NOT_SET = (None, "", ())
VERSION = "1.0.0"  # of the project; CHANGELOG.md says what still loads


class FlagError(ValueError):
    """A flag or flagfile that cannot be taken; the message is for the user."""


class _IntegerOrWord(absl_flags.ArgumentParser[int | str]):
    """Takes an integer, or one of some words."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def parse(self, argument: str) -> int | str:
        if argument in self._words:
            return argument
        try:
            return int(argument)
        except ValueError:
            wanted = " or ".join(self._words)
            raise ValueError(f"should be an integer or {wanted}") from None

    def flag_type(self) -> str:
        return "int or word"


class _Argument(NamedTuple):
    text: str
    origin: str  # "flags/a.flags:7", or "" for the command line


def parse_or_exit(
    argv: Sequence[str], config_class: type[Config], about: str
) -> Config:
    """Returns the config that the command line asks for, or ends the program.

    It ends with 0 after `--help` and `--version`, and with 64 and one line on stderr
    for what is wrong.

    Args:
        argv: The command line, program name first.
        config_class: A frozen dataclass of knobs, or of dataclasses of knobs.
        about: The program's docstring, for `--help`.
    """
    if _HELP_FLAGS & set(argv[1:]):
        _end_with(help_text(config_class, about))
    if "--version" in argv[1:]:
        _end_with(f"sluice {VERSION}")
    try:
        return parse(argv[1:], config_class)
    except FlagError as error:
        print(f"sluice: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(os.EX_USAGE)


def read_or_exit(path: pathlib.Path, config_class: type[Config]) -> Config:
    """Returns the config of a flagfile, or ends the program as `parse_or_exit` does."""
    return parse_or_exit(["", f"--{_FLAGFILE}={path}"], config_class, "")


def _end_with(text: str) -> NoReturn:
    """Prints what was asked for and ends the program."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Of `--help | head`, which has read enough. Python flushes stdout once more at
        # exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(os.EX_OK)


def parse(arguments: Sequence[str], config_class: type[Config]) -> Config:
    """Returns the config for arguments such as `["--flagfile=a.flags", "--seed=2"]`.

    A later flag wins over an earlier one, a flagfile's flags count where it stands.

    Raises:
        FlagError: For anything that is not a known flag with a valid value.
    """
    knobs = _knobs(config_class)
    values = absl_flags.FlagValues()
    for field, kind in knobs.values():
        _define(values, field, kind)
    for argument in _expanded(arguments):
        _parse_one(values, argument, knobs)
    given = {name: values[name].value for name in knobs if values[name].present}
    try:
        return _build(config_class, given)
    except ValueError as error:
        raise FlagError(str(error)) from None


def to_lines(config: Any) -> list[str]:
    """Returns the flagfile lines that make this config, every knob spelled out."""
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            lines += to_lines(value)
        elif value not in _NOT_SET:  # which a flagfile says by leaving the flag out
            lines.append(f"--{field.name}={_text(value)}")
    return lines


def _text(value: Any) -> str:
    """Returns a value as a flag says it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def help_text(config_class: type, about: str) -> str:
    """Returns the page that `--help` prints: flags in groups, units and defaults."""
    lines = [about.strip(), "", "Flags:", "", "  --flagfile=FILE"]
    lines.append("      Takes flags from FILE, one a line; # begins a comment line.")
    lines += ["", "  --version", "      Prints the version and ends."]
    for group, fields in _groups(config_class):
        lines += ["", f"{group}"]
        for field, kind in fields:
            lines += ["", f"  --{field.name}={_placeholder(field, kind)}"]
            text = f"{field.metadata['help']} {_default_text(field)}"
            lines += textwrap.wrap(
                text, 78, initial_indent="      ", subsequent_indent="      "
            )
    return "\n".join(lines)


def _groups(config_class: type) -> Iterator[tuple[str, list[tuple[Any, Any]]]]:
    """Yields (title, knobs) for a config class and the config classes inside it."""
    hints = typing.get_type_hints(config_class)
    own = []
    for field in dataclasses.fields(config_class):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from _groups(typing.cast(type, kind))
        else:
            own.append((field, kind))
    if own:
        yield (config_class.__doc__ or config_class.__name__).split("\n")[0], own


def _knobs(config_class: type) -> dict[str, tuple[Any, Any]]:
    knobs: dict[str, tuple[Any, Any]] = {}
    for title, fields in _groups(config_class):
        for field, kind in fields:
            if field.name in knobs:
                raise TypeError(f"{field.name} of {title!r} is a knob twice")
            knobs[field.name] = (field, kind)
    return knobs


def _base_kind(kind: Any) -> Any:
    """Returns T for `T | None`, else the type itself."""
    if isinstance(kind, types.UnionType):
        return next(arg for arg in typing.get_args(kind) if arg is not type(None))
    return kind


def _has_words(kind: Any) -> bool:
    """Returns whether a knob takes words beside integers: `int | str | None`."""
    return {int, str} <= set(typing.get_args(kind))


def _define(values: absl_flags.FlagValues, field: Any, kind: Any) -> None:
    name, text = field.name, field.metadata["help"]
    base = _base_kind(kind)
    options = {"flag_values": values}
    if _has_words(kind):
        parser = _IntegerOrWord(field.metadata["choices"])
        serializer: Any = absl_flags.ArgumentSerializer()
        absl_flags.DEFINE(parser, name, None, text, serializer=serializer, **options)
    elif field.metadata["choices"] and base is str:
        choices = list(field.metadata["choices"])
        absl_flags.DEFINE_enum(name, None, choices, text, **options)
    elif base is bool:
        absl_flags.DEFINE_bool(name, None, text, **options)
    elif base is int:
        absl_flags.DEFINE_integer(name, None, text, **options)
    elif base is float:
        absl_flags.DEFINE_float(name, None, text, **options)
    elif base is str:
        absl_flags.DEFINE_string(name, None, text, **options)
    elif base == tuple[str, ...]:
        absl_flags.DEFINE_list(name, None, text, **options)
    else:
        raise TypeError(f"{name} has type {kind}, for which there is no flag")


def _expanded(arguments: Sequence[str]) -> Iterator[_Argument]:
    """Yields the arguments with every flagfile replaced by its lines."""
    for text in arguments:
        yield from _expand(_Argument(text, ""), ())


def _expand(argument: _Argument, inside: tuple[str, ...]) -> Iterator[_Argument]:
    name, equals, filename = argument.text.lstrip("-").partition("=")
    if name != _FLAGFILE or not argument.text.startswith("-"):
        yield argument
        return
    if not equals or not filename:
        raise FlagError(f"{_where(argument)}--flagfile needs a file: --flagfile=FILE")
    try:
        path = str(pathlib.Path(filename).resolve())
    except RuntimeError:
        raise FlagError(
            f"{_where(argument)}--flagfile={filename}: is a link that leads back to "
            "itself"
        ) from None
    if path in inside:
        raise FlagError(f"{_where(argument)}--flagfile={filename} includes itself")
    for number, line in enumerate(_lines(filename, argument), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "//")):
            continue
        origin = f"{filename}:{number}"
        if not stripped.startswith("-"):
            raise FlagError(
                f"{origin}: {stripped!r} is not a flag; write --NAME=VALUE, or begin "
                "a comment with #"
            )
        yield from _expand(_Argument(stripped, origin), (*inside, path))


def _lines(filename: str, argument: _Argument) -> list[str]:
    try:
        return pathlib.Path(filename).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise FlagError(f"{_where(argument)}--flagfile={filename}: {reason}") from None


def _parse_one(
    values: absl_flags.FlagValues, argument: _Argument, knobs: dict[str, Any]
) -> None:
    """Gives one argument to absl and turns its complaint into a line of ours."""
    if not argument.text.startswith("-") or argument.text in ("-", "--"):
        raise FlagError(
            f"{_where(argument)}{argument.text!r} is not a flag; every argument is "
            "--NAME=VALUE"
        )
    name, equals, value = argument.text.lstrip("-").partition("=")
    is_switch = not equals and (
        _is_bool(name, knobs) or (name[:2] == "no" and _is_bool(name[2:], knobs))
    )
    if not is_switch and name not in knobs:
        raise FlagError(
            f"{_where(argument)}--{name}: no such flag{_closest(name, knobs)}"
        )
    if not is_switch and (not equals or not value):
        raise FlagError(f"{_where(argument)}--{name} needs a value: --{name}=VALUE")
    text = argument.text
    if not is_switch and _is_text(knobs[name][1]):
        _check_unquoted(argument, value)
        text = f"--{name}={_with_home(value)}"
    try:
        values(["", text])
    except absl_flags.Error as error:
        raise FlagError(f"{_where(argument)}{error}") from None
    parsed = values[name].value if name in knobs else None
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise FlagError(f"{_where(argument)}--{name}={value} must be a finite number")


def _is_text(kind: Any) -> bool:
    return _base_kind(kind) in (str, tuple[str, ...])


def _check_unquoted(argument: _Argument, value: str) -> None:
    """Refuses what a shell would have taken off, in a flagfile, which has no shell."""
    if not argument.origin:
        return
    if re.search(r"\s#(\s|$)", value):
        raise FlagError(
            f"{argument.origin}: {argument.text!r}: a comment has a line of its own; "
            "in a pattern write [#]"
        )
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise FlagError(
            f"{argument.origin}: {argument.text!r}: values have no quotes around them "
            "in a flagfile"
        )


def _with_home(value: str) -> str:
    """Returns a value with ~/ for the user's directory: shells do not see it after =.

    >>> _with_home("a~/b")
    'a~/b'
    """
    home = pathlib.Path.home()
    return re.sub(r"(^|,)~/", lambda found: f"{found[1]}{home}/", value)


def _is_bool(name: str, knobs: dict[str, Any]) -> bool:
    return name in knobs and _base_kind(knobs[name][1]) is bool


def _where(argument: _Argument) -> str:
    return f"{argument.origin}: " if argument.origin else ""


def _closest(name: str, knobs: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, knobs, n=1)
    return f" (did you mean --{close[0]}?)" if close else "; --help lists them"


def _build(config_class: type[Config], given: dict[str, Any]) -> Config:
    hints = typing.get_type_hints(config_class)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, config_class)):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            arguments[field.name] = _build(typing.cast(type, kind), given)
        elif field.name in given:
            value = given[field.name]
            arguments[field.name] = tuple(value) if isinstance(value, list) else value
        elif field.default is dataclasses.MISSING:
            raise FlagError(f"--{field.name} is required: {field.metadata['help']}")
    return config_class(**arguments)


def _placeholder(field: Any, kind: Any) -> str:
    if field.metadata["choices"]:
        numbers = ["INT"] if _has_words(kind) else []
        return "|".join([*numbers, *field.metadata["choices"]])
    base = _base_kind(kind)
    names = {bool: "true|false", int: "INT", float: "NUMBER", str: "TEXT"}
    return names.get(base, "A,B,...")


def _default_text(field: Any) -> str:
    if field.default is dataclasses.MISSING:
        return "(required)"
    if field.default in _NOT_SET:
        return "(not set)"
    return f"(default: {_text(field.default)})"
