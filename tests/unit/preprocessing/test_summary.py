import dataclasses

import pytest

from pipeline import manifest
from preprocessing import summary


@pytest.mark.parametrize(
    ("same_by", "drop", "told"),
    [
        (
            "pair",
            False,
            "3 training pairs are also in test (see --drop_overlap), 5 have",
        ),
        ("pair", True, "3 training pairs are also in test (left out), 5 have a source"),
        ("source", False, "are also in test, 5 have a source of test (see --drop_over"),
        ("source", True, "are also in test, 5 have a source of test (left out)"),
    ],
)
def test_what_drop_overlap_leaves_out_is_told_of_that(data_dir, same_by, drop, told):
    done = manifest.read(data_dir)
    settings = done.settings | {"same_by": same_by, "drop_overlap": drop}
    overlap = {"test": {"pairs": 3, "sources": 5}}
    page = summary.table(dataclasses.replace(done, settings=settings, overlap=overlap))
    assert told in page
    assert page.count("drop_overlap") + page.count("left out)") == 1
