"""What starting TensorFlow brings along, in processes of their own."""

import subprocess
import sys

from tests import programs


def _said(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from pipeline import runtime\n{code}"],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )


def test_keras_is_imported_when_it_is_used_and_not_before():
    done = _said(
        """
runtime.start()
import sys
import tensorflow as tf
print("keras" in sys.modules)
print(tf.keras.__version__[:2])
import keras
print(keras.layers.Dense is tf.keras.layers.Dense)
"""
    )
    assert done.stdout.split() == ["False", "3.", "True"]


def test_only_what_is_news_is_passed_on():
    done = _said(
        """
runtime.start(cpu_devices=2)
import os
import tensorflow as tf
print(len(tf.config.list_logical_devices("CPU")))
with runtime.without_chatter():
    os.write(2, b"oneDNN custom operations are on. You may see\\n")
    os.write(2, b"something else\\n")
"""
    )
    assert done.stdout.split() == ["2"]
    assert done.stderr == "something else\n"
