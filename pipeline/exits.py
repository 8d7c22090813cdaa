"""How a program of ours ends: exit codes (sysexits.h) and the one-line refusal.

What a user can cause ends with one line on stderr and one of these codes. A traceback
means a bug, and exit code 1.
"""

import errno
import io
import os
import sys
from collections.abc import Callable

DONE = os.EX_OK
BUG = 1
USAGE = os.EX_USAGE  # 64: flags
BAD_DATA = os.EX_DATAERR  # 65
MISSING_INPUT = os.EX_NOINPUT  # 66
DIVERGED = os.EX_SOFTWARE  # 70
LOCKED = os.EX_CANTCREAT  # 73: another run holds the directory
DISK = os.EX_IOERR  # 74
PREEMPTED = os.EX_TEMPFAIL  # 75: saved; a scheduler may start it again
MISMATCH = os.EX_CONFIG  # 78: what is asked differs from what was saved
INTERRUPTED = 130  # as a shell says it: 128 + SIGINT

_DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EPIPE,
    errno.EROFS,
    errno.EMFILE,
    errno.EBUSY,
    errno.EXDEV,
    errno.ENFILE,
    # Of network file systems.
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EREMOTEIO,
    errno.ENOTEMPTY,
    errno.ENOLCK,
    errno.ENOSYS,
}
_WAYS_OUT = {
    errno.ENOSPC: "make room there, or name another place",
    errno.EDQUOT: "make room there, or name another place",
    errno.EFBIG: "name a place where files may be larger, or raise ulimit -f",
    errno.EROFS: "name a place that can be written",
    errno.EMFILE: "raise ulimit -n",
    errno.EACCES: "give yourself the right to it, or name another",
}
_MISSING_ERRORS = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


class Refusal(Exception):  # noqa: N818 - it is an answer to the user, not an error of ours
    """What was asked cannot be done; the message says why and the way out."""

    def __init__(self, code: int, message: str) -> None:
        """Args: code: an exit code of this module. message: one line, for stderr."""
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["Refusal"], tuple[int, str]]:
        """Lets a worker process refuse."""
        return Refusal, (self.code, str(self))


def code_of(error: OSError) -> int | None:
    """Returns the exit code of an error of the file system, None where it is a bug."""
    if error.errno in _DISK_ERRORS:
        return DISK
    if error.errno in _MISSING_ERRORS:
        return MISSING_INPUT
    return None


def run(main: Callable[[], int | None]) -> int:
    """Runs a program and returns its exit code; refusals become one line on stderr.

    Its texts go to stdout as UTF-8 in every locale, as they do into files.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = main() or DONE
        sys.stdout.flush()
    except Refusal as refusal:
        return _say(refusal, refusal.code)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _say("the reader of our output has gone away", DISK)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except OSError as error:
        known = code_of(error)
        if known is None:
            raise
        return _say(told(error), known)
    return code


def told(error: OSError) -> str:
    """Returns an error of the file system with its file and, maybe, a way out.

    >>> told(OSError(errno.EROFS, "Read-only file system", "a.txt"))
    'a.txt: Read-only file system; name a place that can be written'
    """
    way_out = _WAYS_OUT.get(error.errno or 0)
    told = f"{error.filename or 'a file'}: {error.strerror}"
    return f"{told}; {way_out}" if way_out else told


def _say(message: object, code: int) -> int:
    line = " ".join(str(message).split())
    print(f"sluice: {line}", file=sys.stderr, flush=True)
    return code
