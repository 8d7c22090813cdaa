"""What TensorBoard shows of a run."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline import exits


class Events:
    """Event files in a directory, written out after each call.

    Every method raises `exits.Refusal` with `DISK` if they cannot be written.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Opens a file there, beside those of earlier processes."""
        with _refusing():
            self._writer = tf.summary.create_file_writer(str(path))

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes numbers; None, which is no number, and the step itself are left."""
        with self._written():
            for name, value in values.items():
                if name != "step" and value is not None:
                    tf.summary.scalar(name, value, step=step)

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text, shown as it stands."""
        with self._written():
            tf.summary.text(name, f"```\n{text}```", step=step)

    def histogram(self, step: int, name: str, values: np.ndarray) -> None:
        """Writes how numbers, [N], are distributed."""
        with self._written():
            tf.summary.histogram(name, values, step=step)

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        with _refusing():
            with self._writer.as_default():
                yield
            self._writer.flush()


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Makes a full disk, which TensorFlow has several errors for, a refusal."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = str(error.message).split("\n")[0]
        raise exits.Refusal(
            exits.DISK,
            f"TensorBoard's events cannot be written ({reason}); make room, and the "
            "same command goes on from the newest checkpoint",
        ) from None
