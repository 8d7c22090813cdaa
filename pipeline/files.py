"""Files that appear whole or not at all, and directories that one run holds."""

import contextlib
import errno
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import TextIO

from pipeline import exits, locations, progress

_HASH_BLOCK_BYTES = 1 << 20
LOCK_NAME = ".lock"
# What flock says on file systems that are mounted without it, as Lustre often is.
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextlib.contextmanager
def named(path: locations.Location) -> Iterator[None]:
    """Puts a file's name into errors of the block that have none.

    The system names what it cannot open, and not what it cannot write, sync or close.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def fsync(path: pathlib.Path) -> None:
    """Returns once the file's or directory's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file, whole or not at all, on the disk before it returns."""
    with writing_whole(path) as file:
        file.buffer.write(content)


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a text file, whole or not at all, on the disk before it returns."""
    with writing_whole(path) as file:
        file.write(text)


def check_target(path: str | None, flag: str) -> None:
    """Refuses a file that could not be written at the end of the work.

    Raises:
        exits.Refusal: If its directory is not there, or it is a directory itself.
    """
    if path is None:
        return
    target = pathlib.Path(path)
    if not target.parent.is_dir():
        raise exits.Refusal(
            exits.MISSING_INPUT, f"{flag}={path}: there is no directory {target.parent}"
        )
    if target.is_dir():
        raise exits.Refusal(
            exits.USAGE, f"{flag}={path}: is a directory; name a file in it"
        )


@contextlib.contextmanager
def writing_whole(path: pathlib.Path) -> Iterator[TextIO]:
    """Opens a text file that has its name once the block has ended well.

    Until then, and if the block raises, what was under that name stays as it is. A
    link stays one, and into a device or a pipe is written as it comes.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with named(path), path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    partial = path.with_name(f"{path.name}.partial")
    try:
        with named(path), partial.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
    fsync(path.parent)


def sha256(path: locations.Location) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Returns the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def locked(path: pathlib.Path, *, what: str) -> Iterator[None]:
    """Holds a lock file while the block runs; the system drops it with the process.

    Args:
        path: The lock file; made if it is not there, and left behind.
        what: The directory in the words of the flag that named it, for the message.

    Raises:
        exits.Refusal: With `LOCKED` if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise exits.Refusal(
                exits.LOCKED,
                f"{what}: another run is using it; wait for it to end or name another",
            ) from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            progress.logger.warning(
                "%s: its file system has no locks (%s); see to it that no other run "
                "uses it",
                what,
                error.strerror,
            )
        yield
