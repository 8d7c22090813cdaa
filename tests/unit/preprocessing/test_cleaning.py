import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import cleaning, config, rows

BOUNDS = config.CleaningConfig(max_length=10, max_bytes=20, max_ratio=3)


def _row(src: bytes, *references: bytes, problem: str = "") -> rows.Row:
    return rows.Row(1, src, references, problem)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_row(b"a", problem="columns"), "columns"),
        (_row(b"\xff", b"x"), "encoding"),
        (_row(b"a", b"x", b"\xc3"), "encoding"),
        (_row(b"a" * 21, b"x"), "too_long"),
        (_row(b"a", b"x" * 21), "too_long"),
        (_row(b" \t", b"x"), "empty"),
        (_row(b"a", b"\xc2\xa0"), "empty"),
        (_row(b"a\0b", b"x"), "control"),
        (_row(b"a", b"\x1bx"), "control"),
    ],
)
def test_a_training_pair_is_left_out_with_one_reason(row, reason):
    """FAULTS 7, 8, 10 and 14."""
    assert cleaning.clean_text(row, BOUNDS, keep=False) == reason


@pytest.mark.parametrize("row", [_row(b"", b"x"), _row(b"a", b""), _row(b"a\0", b"x")])
def test_valid_and_test_keep_what_can_be_decoded(row):
    pair = cleaning.clean_text(row, BOUNDS, keep=True)
    assert pair == (row.src.decode(), tuple(map(bytes.decode, row.references)))


@pytest.mark.parametrize(
    "row",
    [_row(b"\xff", b"x"), _row(b"a" * 21, b"x"), _row(b"a", problem="format")],
)
def test_valid_and_test_leave_out_what_cannot_be_recorded(row):
    assert isinstance(cleaning.clean_text(row, BOUNDS, keep=True), str)


def test_a_good_pair_comes_out_whole():
    row = _row("fährt\t".encode(), b"x", b"y")
    assert cleaning.clean_text(row, BOUNDS, keep=False) == ("fährt\t", ("x", "y"))


@pytest.mark.parametrize(
    ("num_src", "num_tgt", "reason"),
    [
        (9, 9, None),
        (10, 9, "too_long"),
        (9, 10, "too_long"),
        (0, 3, "empty"),
        (3, 9, None),
        (2, 7, "ratio"),
        (7, 2, "ratio"),
    ],
)
def test_lengths_in_tokens_are_bounded(num_src, num_tgt, reason):
    """FAULTS 21; max_length counts the EOS or BOS that batching adds."""
    assert cleaning.check_lengths(num_src, num_tgt, BOUNDS) == reason


def test_without_a_ratio_any_ratio_is_kept():
    assert cleaning.check_lengths(1, 200, config.CleaningConfig()) is None


@pytest.mark.parametrize(
    ("settings", "src", "tgt", "reason"),
    [
        ({"control": "keep"}, "a\x0bb", "x", ""),
        ({"drop_identical": True}, " same ", "same", "identical"),
        ({"drop_identical": True}, "same", "other", ""),
        ({"src_script": "Latin"}, "Москва", "Moscow", "script"),
        ({"src_script": "Cyrillic"}, "Москва 5!", "Moscow", ""),
        ({"tgt_script": "Han"}, "Tokyo", "東京 2020", ""),
        ({"tgt_script": "Han"}, "Tokyo", "Tokyo", "script"),
        ({"tgt_script": "Latin", "min_script_share": 0.9}, "a", "abcd я", "script"),
        ({"tgt_script": "Latin"}, "a", "42", ""),
    ],
)
def test_each_optional_step_has_its_reason(settings, src, tgt, reason):
    assert cleaning.check_text(src, tgt, config.CleaningConfig(**settings)) == reason


def test_overlong_pairs_are_kept_to_be_cut_where_that_is_asked():
    """FAULTS 21."""
    bounds = config.CleaningConfig(max_length=10, overlong="truncate")
    assert cleaning.check_lengths(50, 9, bounds) is None


def test_a_shortest_length_can_be_asked_for():
    bounds = config.CleaningConfig(min_length=3)
    assert cleaning.check_lengths(3, 2, bounds) == "too_short"
    assert cleaning.check_lengths(3, 3, bounds) is None


_SIDE = st.one_of(
    st.text(max_size=12).map(lambda text: text.encode(errors="surrogatepass")),
    st.binary(max_size=25),
    st.sampled_from([b"a", b"b c", "é".encode(), b"a\nb", b"x\x0c", b"\xc2\xa0"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(_SIDE, _SIDE), min_size=1, max_size=5),
    st.sampled_from(["drop", "keep"]),
)
def test_rows_looked_at_together_are_judged_as_one_by_one(pairs, control):
    bounds = config.CleaningConfig(max_bytes=20, control=control)
    found = [_row(src, tgt) for src, tgt in pairs]
    alone = [cleaning.clean_text(row, bounds, keep=False) for row in found]
    together = cleaning.clean_together(found, bounds)
    if together is not None:
        wanted = [(src, (tgt,)) for src, tgt in zip(*together, strict=True)]
        assert alone == wanted
    elif not any(b"\n" in side for pair in pairs for side in pair):
        assert any(isinstance(result, str) for result in alone)


@pytest.mark.parametrize(
    "bounds",
    [
        config.CleaningConfig(max_length=10),
        config.CleaningConfig(max_length=10, max_ratio=3, min_length=2),
        config.CleaningConfig(max_length=10, overlong="truncate"),
    ],
)
def test_lengths_looked_at_together_are_judged_as_one_by_one(bounds):
    src, tgt = (side.reshape(-1) for side in np.meshgrid(range(13), range(13)))
    good = cleaning.plainly_good_lengths(src, tgt, bounds)
    for num_src, num_tgt, plain in zip(src, tgt, good, strict=True):
        reason = cleaning.check_lengths(num_src, num_tgt, bounds)
        cut = max(num_src, num_tgt) >= bounds.max_length
        assert plain == (reason is None and not cut)
