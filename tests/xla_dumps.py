"""What XLA compiles, from the files it writes about each compilation when asked to."""

import pathlib

VARIABLE = "XLA_FLAGS"  # read once by a process, before it first compiles


def flags(folder: pathlib.Path) -> str:
    """Returns a value of VARIABLE that has training steps written down in a folder."""
    return (
        f"--xla_dump_to={folder} --xla_dump_hlo_as_text "
        "--xla_dump_hlo_module_re=inference__(update|accumulate)"
    )


def num_compiled(folder: pathlib.Path) -> int:
    """Returns how many programs were compiled since the folder was empty."""
    return len(list(folder.glob("*before_optimizations.txt")))
