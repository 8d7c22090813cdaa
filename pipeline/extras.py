"""Packages that few need: imported where used, named where they are missing."""

import importlib
import types

from pipeline import exits


def load(module: str, *, needed_by: str, extra: str = "extras") -> types.ModuleType:
    """Returns a module of an extra.

    Args:
        module: Its name, as in `import`.
        needed_by: The flag or program that wants it, for the message.
        extra: Which requirements it is in.

    Raises:
        exits.Refusal: With `MISSING_INPUT` if its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise exits.Refusal(
            exits.MISSING_INPUT,
            f"{needed_by} needs {package}, an extra: make setup-{extra}, or pip "
            f"install -r requirements-{extra}.lock",
        ) from None
