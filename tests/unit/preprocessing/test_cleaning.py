import pytest

from preprocessing import cleaning, config, corpora

BOUNDS = config.CleaningConfig(max_length=10, max_bytes=20, max_ratio=3)


def _row(src: bytes, *references: bytes) -> corpora.Row:
    return corpora.Row(1, src, references)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_row(b"a"), "columns"),
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
    "row", [_row(b"\xff", b"x"), _row(b"a" * 21, b"x"), _row(b"a")]
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
