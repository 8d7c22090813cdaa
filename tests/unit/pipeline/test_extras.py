import json

import pytest

from pipeline import exits, extras


def test_a_module_that_is_there_is_returned():
    assert extras.load("json.decoder", needed_by="--x") is json.decoder


def test_one_that_is_not_is_named_with_the_way_out():
    with pytest.raises(exits.Refusal) as refused:
        extras.load("not_there.inner", needed_by="--format=x")
    assert refused.value.code == exits.MISSING_INPUT
    assert str(refused.value).startswith("--format=x needs not_there, an extra: make")
