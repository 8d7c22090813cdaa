import pytest

from pipeline import exits
from preprocessing import config, labels


def _task(**given) -> config.TaskConfig:
    return config.TaskConfig(task="labels", **given)


def test_labels_are_stripped_and_have_the_ids_of_their_order():
    known = labels.Labels(("neg", "pos"))
    assert [known.read(text) for text in (" pos", "neg")] == [(1, ()), (0, ())]


def test_a_label_that_training_did_not_have_is_named():
    with pytest.raises(labels.UnknownLabelError, match="'maybe' is none of the 2"):
        labels.Labels(("neg", "pos")).read("maybe")


def test_numbers_are_ordered_by_value():
    assert labels.in_order({"10", "9", "b", "-1", "a"}) == ["-1", "9", "10", "a", "b"]


def test_a_name_of_thousands_of_digits_is_ordered_as_text():
    many = "1" * 5000
    assert labels.in_order({many, "9", "1" * 640, "a"}) == ["9", "1" * 640, many, "a"]


def test_a_file_of_names_may_have_a_byte_order_mark_and_must_be_utf_8(tmp_path):
    path = tmp_path / "map.tsv"
    path.write_bytes("\ufeff0\tné\n".encode())
    assert labels.renaming(_task(label_map=(str(path),))) == {"0": "né"}
    path.write_bytes("0\tné\n".encode("latin-1"))
    with pytest.raises(exits.Refusal, match="--label_map=.*: is not UTF-8") as error:
        labels.renaming(_task(label_map=(str(path),)))
    assert error.value.code == exits.BAD_DATA


@pytest.mark.parametrize("as_file", [True, False])
def test_a_map_renames_labels_given_inline_or_as_a_file(tmp_path, as_file):
    entries: tuple[str, ...] = ("0=neg", "1=pos")
    if as_file:
        (tmp_path / "map.tsv").write_text("0\tneg\r\n1\tpos\n")
        entries = (str(tmp_path / "map.tsv"),)
    renamed = labels.renaming(_task(label_map=entries))
    known = labels.Labels(("neg", "pos"), renamed=renamed)
    assert known.read("1").id == 1
    with pytest.raises(labels.UnknownLabelError, match="does not have '2'"):
        known.read("2")


@pytest.mark.parametrize(
    ("entries", "message"),
    [(("none.tsv",), "no such file"), (("a=b", "c"), "'c' has no new name")],
)
def test_a_map_that_cannot_be_read_is_refused(entries, message):
    with pytest.raises(exits.Refusal, match=message):
        labels.renaming(_task(label_map=entries))


@pytest.mark.parametrize(
    "text", ["0.25 0.75", "0.25,0.75", "[0.25, 0.75]", '{"b": 0.75, "a": 0.25}']
)
def test_shares_are_read_in_every_notation(text):
    known = labels.Labels(("a", "b"), soft=True)
    assert known.read(text) == (1, (0.25, 0.75))


@pytest.mark.parametrize(
    "text",
    [
        *("0.5", "1 1", "0.5 x", "2 -1", '{"c": 1}', "[[1], 0]", ""),
        *("[" * 20_000, f"[1{'0' * 400}, 0]", f"[1{'0' * 5000}, 0]", "[NaN, 1]"),
    ],
)
def test_shares_that_are_none_are_errors(text):
    known = labels.Labels(("a", "b"), soft=True)
    with pytest.raises(ValueError, match="."):
        known.read(text)
