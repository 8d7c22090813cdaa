"""What one step of a cluster leaves for the next: files, each whole or not there.

A folder of them is beside the data directory while it is made. An engine may run the
same work twice, on two machines at once: whoever ends last writes the same again.
"""

import os
import pickle
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline import files, locations

ATTEMPT = ".attempt-"  # in the names of files that are being written


def put(folder: str, name: str | int, content: Any) -> None:
    """Writes what can be pickled."""
    path = _path(folder, name)
    write(path, [pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)])


def get(folder: str, name: str | int) -> Any:
    """Returns what was put under a name; None if nothing was."""
    path = _path(folder, name)
    if not path.is_file():
        return None
    return pickle.loads(path.read_bytes())  # noqa: S301 - this build wrote it


def each(folder: str) -> Iterator[tuple[int, Any]]:
    """Yields numbers and what was put under them, in ascending order."""
    there = locations.locate(folder).glob("*")
    for name in sorted([path.name for path in there]):
        if ATTEMPT not in name:
            yield int(name), get(folder, name)


def write(path: locations.Location, content: Iterable[bytes]) -> None:
    """Writes a file, whole or not at all, on the disk before it returns."""
    if isinstance(path, locations.RemotePath):
        path.write_bytes(b"".join(content))  # there when it is closed, and not before
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt = path.with_name(f"{path.name}{ATTEMPT}{uuid.uuid4().hex}")
    try:
        with files.named(path), attempt.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        attempt.replace(path)
    finally:
        attempt.unlink(missing_ok=True)
    files.fsync(path.parent)


def _path(folder: str, name: str | int) -> locations.Location:
    return locations.locate(folder) / (
        f"{name:012d}" if isinstance(name, int) else name
    )
