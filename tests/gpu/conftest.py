import pytest
import tensorflow as tf


def pytest_collection_modifyitems(items):
    """Skips what needs a GPU where there is none."""
    if tf.config.list_physical_devices("GPU"):
        return
    reason = "needs an NVIDIA GPU: make setup GPU=1, then make test-gpu"
    for item in items:
        if "tests/gpu/" in str(item.path):
            item.add_marker(pytest.mark.skip(reason=reason))
