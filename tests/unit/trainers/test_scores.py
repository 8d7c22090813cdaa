import pytest

from pipeline import exits
from trainers import scores


def test_of_several_references_the_nearest_counts():
    found = scores.of(
        ["R EH D", "K AE T S", "D AO G"],
        [["R IY D", "R EH D"], ["K AE T"], ["D AA G Z", "D AO"]],
        lowercase=False,
    )
    assert found.exact_match == pytest.approx(1 / 3)
    # 0 edits to 3 tokens, 1 to 3, 1 to 2.
    assert found.token_error_rate == pytest.approx(2 / 8)


def test_bleu_and_chrf_are_those_of_sacrebleu_with_its_signature():
    hypotheses = ["The dog bit the man.", "It wasn't surprising."]
    references = [["The dog bit the man."], ["It was not unexpected."]]
    found = scores.of(hypotheses, references, lowercase=False)
    # The command that made it: sacrebleu ref.txt -i hyp.txt -m bleu -b -w 4
    assert found.bleu == pytest.approx(63.9817, abs=1e-4)
    assert found.bleu_signature.startswith(
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"
    )
    assert 0 < found.chrf < 100


def test_lowercasing_makes_case_irrelevant_for_every_score():
    found = scores.of(["THE DOG BIT A MAN"], [["the dog bit a man"]], lowercase=True)
    assert found.bleu == pytest.approx(100)
    assert found.chrf == pytest.approx(100)
    assert found.exact_match == 1
    assert "case:lc" in found.bleu_signature


def test_an_empty_hypothesis_is_all_deletions():
    found = scores.of(["", "a b"], [["x y z"], ["a b"]], lowercase=False)
    assert found.exact_match == 0.5
    assert found.token_error_rate == pytest.approx(3 / 5)


def test_a_tokenizer_that_cannot_be_had_is_refused_in_a_line():
    with pytest.raises(exits.Refusal, match="--tokenize=ja-mecab") as error:
        scores.bleu_metric("ja-mecab", lowercase=False)
    assert error.value.code == exits.USAGE
