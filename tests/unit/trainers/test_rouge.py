import pytest

from trainers import rouge


def test_each_kind_is_precision_and_recall_of_what_both_have():
    # 3 of 4 words, 1 of 3 word pairs, "the cat mat" in order.
    found = rouge.each(["The cat, the mat"], [["the cat on a mat"]])
    (one,), (two,), (longest,) = (found[kind] for kind in rouge.KINDS)
    assert (one.precision, one.recall) == (3 / 4, 3 / 5)
    assert (two.precision, two.recall) == (1 / 3, 1 / 4)
    assert (longest.precision, longest.recall) == (3 / 4, 3 / 5)
    assert longest.fmeasure == pytest.approx(2 * 3 / (4 + 5))


def test_of_several_references_the_best_counts():
    found = rouge.means(["a b"], [["c d", "a b", "a c"]])
    assert found["rouge1"] == found["rouge2"] == found["rougeL"] == 100


def test_words_of_other_scripts_count():
    assert rouge.means(["тест größe"], [["тест größe"]])["rouge2"] == 100


def test_what_says_nothing_scores_nothing():
    assert rouge.means(["", "a"], [["a"], ["a"]])["rougeL"] == 50
