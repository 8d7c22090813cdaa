"""Where a data directory is: on this machine, or on a file system TensorFlow knows.

A name with a scheme, such as `gs://bucket/data`, is read through `tf.io.gfile`; any
other is a path. Both are asked the same few questions, in the words of `pathlib`.
"""

import contextlib
import fnmatch
import pathlib
import posixpath
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from pipeline import exits, runtime


class Stat(NamedTuple):
    """What tells whether a file was replaced, in the names of `os.stat_result`."""

    st_size: int
    st_mtime_ns: int


class RemotePath:
    """A file or directory on a remote file system."""

    def __init__(self, url: str) -> None:
        """Args: url: with its scheme."""
        self._url = url.rstrip("/")

    def __str__(self) -> str:
        """Returns the name that TensorFlow opens."""
        return self._url

    def __truediv__(self, name: str) -> "RemotePath":
        """Returns what has this name inside."""
        return RemotePath(f"{self._url}/{name}")

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return posixpath.basename(self._url)

    @property
    def suffix(self) -> str:
        """The last ending of its name, with the dot."""
        return posixpath.splitext(self._url)[1]

    @property
    def parent(self) -> "RemotePath":
        """The directory it is in."""
        return RemotePath(posixpath.dirname(self._url))

    def with_suffix(self, suffix: str) -> "RemotePath":
        """Returns the name with another ending."""
        return RemotePath(posixpath.splitext(self._url)[0] + suffix)

    def is_file(self) -> bool:
        """Returns whether it is there and no directory."""
        return self._ask("exists") and not self._ask("isdir")

    def is_dir(self) -> bool:
        """Returns whether it is a directory."""
        return bool(self._ask("isdir"))

    def stat(self) -> Stat:
        """Returns its size in bytes, and when it was changed, in nanoseconds."""
        found = self._ask("stat")
        return Stat(found.length, found.mtime_nsec)

    def read_bytes(self) -> bytes:
        """Returns its content."""
        with self.open("rb") as file:
            return file.read()

    @contextlib.contextmanager
    def open(self, mode: str) -> Iterator[IO[bytes]]:
        """Opens it for reading bytes, with mode `rb`, while the block runs.

        Raises:
            exits.Refusal: If it cannot be read, which TensorFlow sees when it reads.
        """
        opened = self._ask("GFile", mode)
        import tensorflow as tf

        try:
            with opened as file:
                yield file
        except tf.errors.OpError as error:
            raise self._refused(error) from None

    def read_text(self, encoding: str) -> str:
        """Returns its content as text."""
        return self.read_bytes().decode(encoding)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """Yields what is inside and matches."""
        for name in fnmatch.filter(self.names(), pattern):
            yield self / name

    def names(self) -> list[str]:
        """Returns the names of what is inside; nothing if it is not there."""
        if not self.is_dir():
            return []
        return sorted(name.rstrip("/") for name in self._ask("listdir"))

    def mkdir(self) -> None:
        """Makes the directory and those it is in, where they are not there yet."""
        self._ask("makedirs")

    def write_bytes(self, content: bytes) -> None:
        """Writes a file; on an object store it is there once it is whole."""
        import tensorflow as tf

        self.parent.mkdir()
        opened = self._ask("GFile", "wb")
        try:
            with opened as file:
                file.write(content)
        except tf.errors.OpError as error:
            raise self._refused(error, exits.DISK) from None

    def rename(self, target: "Location") -> None:
        """Gives a file another name, or replaces the one that has it."""
        self._ask("rename", str(target), True)

    def unlink(self) -> None:
        """Removes a file."""
        self._ask("remove")

    def remove_tree(self) -> None:
        """Removes a directory and all that is in it, if it is there."""
        if self.is_dir():
            self._ask("rmtree")

    def _ask(self, what: str, *more: str | bool) -> Any:
        """Returns what a function of `tf.io.gfile` says of it.

        Raises:
            exits.Refusal: If the file system does not answer.
        """
        # Devices are for the program to find: files need none, and several processes
        # must be joined before they are looked for.
        runtime.start(find_devices=False)
        import tensorflow as tf

        try:
            return getattr(tf.io.gfile, what)(self._url, *more)
        except tf.errors.OpError as error:
            raise self._refused(error) from None

    def _refused(
        self, error: Exception, code: int = exits.MISSING_INPUT
    ) -> exits.Refusal:
        return exits.Refusal(code, f"{self._url}: {error}")


Location = pathlib.Path | RemotePath


def rename(path: Location, target: Location) -> None:
    """Gives a file another name on the same file system."""
    if isinstance(path, RemotePath):
        path.rename(target)
    else:
        path.rename(str(target))


def locate(name: str) -> Location:
    """Returns where a name on the command line points to."""
    return RemotePath(name) if "://" in name else pathlib.Path(name)
