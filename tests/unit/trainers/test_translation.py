import tensorflow as tf

from pipeline import manifest, vocabulary
from trainers import baselines, translation


class Copier:
    """Says the source back; see test_greedy."""

    def __init__(self, size):
        self.size = size

    def start(self, src_ids):
        return src_ids, tf.fill([tf.shape(src_ids)[0]], 0)

    def next_logits(self, tgt_ids, state):
        src_ids, position = state
        index = tf.minimum(position, tf.shape(src_ids)[1] - 1)
        wanted = tf.gather(src_ids, index, batch_dims=1)
        return tf.one_hot(wanted, self.size), (src_ids, position + 1)


def _vocabularies(data_dir):
    facts = manifest.read(data_dir)
    return vocabulary.load(data_dir, (facts.src_vocabulary, facts.tgt_vocabulary))


def _translator(data_dir):
    both = _vocabularies(data_dir)
    return translation.Translator(Copier(both.tgt.size), both)


def test_hypotheses_come_in_the_order_of_the_texts(data_dir):
    """FAULTS 56."""
    texts = ["ba", "", "ba du ki mo", "du", "   ", "ki mo ba du ba du"]
    found = [h.text for h in _translator(data_dir).translate(texts)]
    assert found == ["ba", "", "ba du ki mo", "du", "", "ki mo ba du ba du"]


def test_many_lengths_take_several_batches_and_one_trace(data_dir):
    translator = _translator(data_dir)
    texts = [" ".join(["ba"] * (index % 40 + 1)) for index in range(700)]
    rows = []
    found = translator.translate(texts, on_batch=rows.append)
    assert [h.text for h in found] == texts
    assert len(rows) > 1
    assert sum(rows) == 700
    assert translator.num_traces == 1


def test_a_long_text_is_cut_and_the_others_are_not(data_dir, monkeypatch):
    """FAULTS 57."""
    monkeypatch.setattr(translation, "MAX_SOURCE_TOKENS", 6)
    found = _translator(data_dir).translate(["ba " * 50, "ba du"])
    assert 0 < len(found[0].text.split()) < 50
    assert found[1].text == "ba du"


def test_no_text_makes_no_hypothesis(data_dir):
    assert _translator(data_dir).translate([]) == []


def test_strange_characters_give_one_line_each(data_dir):
    """FAULTS 58."""
    texts = ["\x00", "a\x0bb", "\u2028", "😀 жя", "x\ufffdy", "\u202eabc"]
    found = _translator(data_dir).translate(texts)
    assert len(found) == len(texts)
    assert not any(len(h.text.splitlines()) > 1 for h in found)


def test_the_dictionary_learns_what_stands_in_the_same_place(data_dir):
    """The targets are the sources with each word spelled backwards."""
    both = _vocabularies(data_dir)
    shards = manifest.read(data_dir).shard_paths(data_dir, "train")
    dictionary = baselines.Dictionary.learn(shards, both)
    assert dictionary.translate("") == ""
    assert len(dictionary.translate("ba du ki").split()) == 3
