import pathlib

import pytest

from pipeline import runtime

runtime.start()

from tests import small_data  # noqa: E402 - TensorFlow's start-up chatter comes first


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> pathlib.Path:
    """A small data directory; tests must not change it."""
    return small_data.make(tmp_path_factory.mktemp("small"))


@pytest.fixture
def own_data_dir(tmp_path) -> pathlib.Path:
    """A small data directory to damage."""
    return small_data.make(tmp_path / "own", count=60)
