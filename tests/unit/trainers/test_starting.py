import pathlib

import numpy as np
import pytest
import tensorflow as tf

from pipeline import exits, manifest, vocabulary
from tests import small_labels, small_models
from trainers import checkpoints, config, name_map, naming, run_directory, starting
from trainers.models import (
    repeat_vector,
    seq2vec,
    seq2vec_config,
    text_pairs,
    transformer,
)

NAMES = pathlib.Path(starting.__file__).with_name("opennmt_tf.names")
OLD = [f"w{k}" for k in range(20)]
NEW = [f"w{k}" for k in range(10, 34)]


def _weights(size, seed, **changes):
    model = transformer.Transformer(
        small_models.transformer_config(**changes),
        src_vocab_size=size,
        tgt_vocab_size=size,
        shared=True,
        rng=np.random.default_rng(seed),
    )
    return naming.variables(model)


def _numbers(weights):
    return {name: weight.numpy() for name, weight in weights.items()}


def _foreign(weights, pieces=OLD):
    known = {"src": pieces, "tgt": pieces} if pieces else {}
    return starting.Foreign(_numbers(weights), known, "there")


def _take(weights, foreign, pieces):
    return starting._take(weights, foreign, {"src": pieces, "tgt": pieces})


def test_the_same_model_is_taken_whole():
    old, new = _weights(20, 1), _weights(20, 2)
    report = _take(new, _foreign(old), OLD)
    assert sorted(report.taken) == sorted(new)
    assert not report.fresh
    assert not report.unused
    for name, weight in new.items():
        rows = slice(20) if name.endswith("vectors") else slice(None)
        np.testing.assert_array_equal(weight[rows], old[name][rows])


def test_subwords_keep_their_vectors_in_another_vocabulary():
    old, new = _weights(20, 1), _weights(24, 2)
    drawn = new["src_embedding/vectors"].numpy()
    report = _take(new, _foreign(old), NEW)
    vectors = new["src_embedding/vectors"].numpy()
    for index, piece in enumerate(NEW):
        wanted = (
            old["src_embedding/vectors"][OLD.index(piece)]
            if piece in OLD
            else drawn[index]
        )
        np.testing.assert_array_equal(vectors[index], wanted)
    assert report.by_piece == {"src_embedding/vectors": "10 of 24 subwords"}


def test_embeddings_that_were_apart_fill_one_and_one_fills_several():
    apart, one = _weights(20, 1, tied_embeddings="none"), _weights(24, 2)
    foreign = starting.Foreign(
        _numbers(apart), {"src": OLD[:15], "tgt": OLD[5:]}, "there"
    )
    _take(one, foreign, NEW)
    vectors = one["src_embedding/vectors"].numpy()
    source, target = (apart[f"{side}_embedding/vectors"] for side in ("src", "tgt"))
    np.testing.assert_array_equal(vectors[0], source[10])  # w10: both have it
    np.testing.assert_array_equal(vectors[7], target[12])  # w17: the target alone
    several = _weights(20, 3, tied_embeddings="none")
    report = _take(several, _foreign(one, NEW), NEW[:20])
    assert not report.fresh
    for side in ("src", "tgt", "output"):
        found = several[f"{side}_embedding/vectors"][:20]
        np.testing.assert_array_equal(found, vectors[:20])


def test_without_its_vocabulary_an_embedding_of_the_same_size_is_taken():
    old = _foreign(_weights(20, 1), pieces=None)
    report = _take(_weights(20, 2), old, OLD)
    assert "src_embedding/vectors" in report.taken
    report = _take(_weights(40, 2), old, [f"w{k}" for k in range(40)])
    assert report.other_shape == ["src_embedding/vectors"]


def test_what_does_not_fit_is_told_and_stays_as_drawn():
    old, new = _weights(20, 1, d_ff=32, num_layers=1), _weights(20, 2)
    before = _numbers(new)
    report = _take(new, _foreign(old), OLD)
    assert "encoder/0/feed_forward/inner/kernel" in report.other_shape
    assert "encoder/1/attention/query/kernel" in report.fresh
    for name in [*report.fresh, *report.other_shape]:
        np.testing.assert_array_equal(new[name], before[name])
    deeper = _take(_weights(20, 1, num_layers=1), _foreign(new), OLD)
    assert "encoder/1/attention/query/kernel" in deeper.unused


@pytest.mark.parametrize("value", [np.zeros(20, np.float32), b"text", np.float32(1)])
@pytest.mark.parametrize("name", ["src_embedding/vectors", "encoder_norm/scale"])
def test_what_is_no_matrix_or_no_number_has_another_shape(name, value):
    """A file of --name_map may give any name to anything."""
    new = _weights(20, 2)
    foreign = _foreign(_weights(20, 1))
    foreign.tensors[name] = value
    assert _take(new, foreign, OLD).other_shape == [name]


def test_nothing_that_fits_is_refused():
    foreign = starting.Foreign({"else": np.zeros(3)}, {}, "there")
    with pytest.raises(exits.Refusal, match="nothing of it fits") as error:
        _take(_weights(20, 1), foreign, OLD)
    assert error.value.code == exits.MISMATCH


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_a_classifier_begins_with_the_encoder_of_a_translation_model(positions):
    same = small_models.transformer_config(positions=positions, dropout_rate=0.0)
    classifier = seq2vec.Classifier(
        seq2vec_config.EncoderConfig(
            d_model=same.d_model,
            num_layers=same.num_layers,
            dropout_rate=0.0,
            transformer=same.transformer,
        ),
        seq2vec_config.HeadConfig(),
        vocab_size=20,
        num_classes=3,
        rng=np.random.default_rng(1),
    )
    old = _weights(20, 2, positions=positions)
    new = starting.weights_of(classifier)
    report = _take(new, _foreign(old), OLD)
    assert sorted(report.fresh) == ["output/bias", "output/kernel"]
    reader = ("src_", "encoder")
    assert sorted(report.taken) == sorted(n for n in old if n.startswith(reader))
    assert not any(name.startswith(reader) for name in report.unused)
    frozen = starting.frozen(list(naming.variables(classifier)), ["encoder"])
    assert "text/encoder/encoder/0/attention/query/kernel" in frozen


def _classifier(seed):
    return seq2vec.Classifier(
        seq2vec_config.EncoderConfig(d_model=16, num_layers=1),
        seq2vec_config.HeadConfig(),
        vocab_size=20,
        num_classes=3,
        rng=np.random.default_rng(seed),
    )


def _text_pairs(seed):
    """Two encoders, one for each side."""
    return text_pairs.TextPairs(
        seq2vec_config.EncoderConfig(d_model=16, num_layers=1),
        seq2vec_config.HeadConfig(head="embedding", encoders="two"),
        src_vocab_size=20,
        tgt_vocab_size=20,
        shared=False,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("make", [_classifier, _text_pairs])
def test_a_run_of_vectors_gives_all_its_weights_to_another(tmp_path, make):
    old, new = make(1), starting.weights_of(make(2))
    _run(tmp_path, naming.variables(old), (3, "best"))
    asked = config.StartConfig(init_from=str(tmp_path))
    (report,) = starting.begin(new, asked, {"src": OLD, "tgt": OLD})
    assert sorted(report.taken) == sorted(new)
    assert not report.unused
    for name, value in starting.weights_of(old).items():
        np.testing.assert_array_equal(new[name][:20], value[:20])


def test_a_classifier_begins_with_another_runs_subwords(tmp_path):
    """Its run has one vocabulary, where others have two."""
    labels, text = tmp_path / "labels", tmp_path / "run"
    data_dir = small_labels.make(labels)
    facts = manifest.read(data_dir)
    _run(text, naming.variables(_classifier(1)), (3, "best"))
    vocabulary.copy(data_dir, [facts.src_vocabulary], text / run_directory.VOCABULARY)
    words = vocabulary.load_one(data_dir, facts.src_vocabulary)
    pieces = words.pieces(range(words.size))
    assert starting._pieces_beside(text / "best" / "ckpt-3") == {"src": pieces}


def test_the_target_of_pairs_is_frozen_and_begun_as_the_source_is(tmp_path):
    names = list(naming.variables(_text_pairs(1)))
    sides = ("src/encoder/", "tgt/encoder/")
    for asked, part in (("embeddings", "src_embedding"), ("encoder", "encoder/0")):
        found = starting.frozen(names, [asked])
        for side in sides:
            assert any(name.startswith(f"{side}{part}") for name in found)
    assert all(name.startswith("tgt/") for name in starting.frozen(names, ["tgt"]))
    assert all(name.startswith("src/") for name in starting.frozen(names, ["src"]))
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"w{k} {'1 ' * 16}\n" for k in range(5)))
    asked = config.StartConfig(tgt_embeddings=str(path))
    new = starting.weights_of(_text_pairs(1))
    (report,) = starting.begin(new, asked, {"src": OLD, "tgt": OLD})
    assert list(report.by_piece) == ["tgt/encoder/src_embedding/vectors"]


def test_vectors_of_the_target_go_by_subword_whatever_they_are_called():
    old, new = (
        starting.weights_of(model) for model in (_text_pairs(1), _text_pairs(2))
    )
    foreign = starting.Foreign(_numbers(old), {"src": OLD, "tgt": OLD[::-1]}, "there")
    _take(new, foreign, OLD)
    name = "tgt/encoder/src_embedding/vectors"
    np.testing.assert_array_equal(new[name][:20], old[name][:20][::-1])
    config_of = small_models.config("repeat_vector")
    sizes = {"src_vocab_size": 20, "tgt_vocab_size": 20}
    old, new = (
        naming.variables(
            repeat_vector.RepeatVector(
                config_of, **sizes, rng=np.random.default_rng(seed), dtype="float32"
            )
        )
        for seed in (1, 2)
    )
    foreign = starting.Foreign(_numbers(old), {"src": OLD, "tgt": OLD[::-1]}, "there")
    _take(new, foreign, OLD)
    found, given = new["output/vectors"][:20], old["output/vectors"][:20]
    np.testing.assert_array_equal(found, given[::-1])


def test_a_vocabulary_longer_than_the_embedding_is_refused():
    foreign = _foreign(_weights(20, 1), pieces=[f"w{k}" for k in range(40)])
    with pytest.raises(exits.Refusal, match="40 subwords; --init_vocab") as error:
        _take(_weights(20, 2), foreign, OLD)
    assert error.value.code == exits.MISMATCH


def _run(tmp_path, weights, *steps):
    for step, folder in steps:
        named = {f"model/{name}": weight for name, weight in weights.items()}
        checkpoints.save(tmp_path / folder, step, named, {})


def test_a_run_gives_its_best_checkpoint_else_its_newest(tmp_path):
    weights = _weights(20, 1)
    _run(tmp_path, weights, (3, "checkpoints"), (10, "checkpoints"))
    assert starting._prefix(tmp_path).name == "ckpt-10"
    _run(tmp_path, weights, (3, "best"))
    assert starting._prefix(tmp_path) == tmp_path / "best" / "ckpt-3"
    one = tmp_path / "checkpoints" / "ckpt-3"
    assert starting._prefix(one) == one
    new = _weights(20, 2)
    asked = config.StartConfig(init_from=str(tmp_path))
    (report,) = starting.begin(new, asked, {"src": OLD, "tgt": OLD})
    assert sorted(report.taken) == sorted(new)


@pytest.mark.parametrize("path", ["none", "."])
def test_a_path_without_a_checkpoint_is_missing_input(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    asked = config.StartConfig(init_from=path)
    with pytest.raises(exits.Refusal, match="--init_from=") as error:
        starting.begin(_weights(20, 1), asked, {"src": OLD, "tgt": OLD})
    assert error.value.code == exits.MISSING_INPUT


@pytest.mark.parametrize(
    ("given", "told"),
    [({"name_map": "n"}, "--name_map=n"), ({"init_vocab": ("v",)}, "--init_vocab=v")],
)
def test_what_another_toolkit_needs_is_refused_for_a_run_of_ours(
    tmp_path, data_dir, given, told
):
    _run(tmp_path, _weights(20, 1), (3, "best"))
    entries = manifest.read(data_dir).pair_vocabularies()
    vocabulary.copy(data_dir, entries, tmp_path / "vocabulary")
    asked = config.StartConfig(init_from=str(tmp_path), **given)
    with pytest.raises(exits.Refusal, match=f"{told}: .*is a run of Sluice") as error:
        starting.begin(_weights(20, 2), asked, {"src": OLD, "tgt": OLD})
    assert error.value.code == exits.USAGE


def test_a_damaged_checkpoint_is_bad_data(tmp_path):
    _run(tmp_path, _weights(20, 1), (3, "best"))
    (data,) = (tmp_path / "best").glob("*.data-*")
    data.write_bytes(b"")
    asked = config.StartConfig(init_from=str(tmp_path))
    with pytest.raises(exits.Refusal, match="cannot be read") as error:
        starting.begin(_weights(20, 1), asked, {"src": OLD, "tgt": OLD})
    assert error.value.code == exits.BAD_DATA


def test_checkpoints_of_tensorflow_1_are_read_by_a_map_of_names(tmp_path):
    """As `tf.compat.v1.train.Saver` writes them: names of variables alone."""
    old, new = _weights(20, 1), _weights(20, 2)
    renamed = {
        f"seq2seq/{name.replace('/0/', '/layer_0/').replace('/1/', '/layer_1/')}": (
            value.numpy()
        )
        for name, value in old.items()
        if name.startswith("encoder/")
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {
            name: tf.compat.v1.get_variable(name, initializer=value)
            for name, value in renamed.items()
        }
        session.run(tf.compat.v1.global_variables_initializer())
        prefix = tf.compat.v1.train.Saver(variables).save(
            session, str(tmp_path / "model.ckpt"), global_step=7
        )
    names = tmp_path / "names"
    names.write_text("# of our old toolkit\nseq2seq/encoder/layer_*/*  encoder/*/*\n")
    for path in (prefix, str(tmp_path)):
        asked = config.StartConfig(init_from=path, name_map=str(names))
        (report,) = starting.begin(new, asked, {"src": OLD, "tgt": OLD})
        assert sorted(report.taken) == sorted(
            name for name in new if name.startswith("encoder/")
        )
    np.testing.assert_array_equal(
        new["encoder/1/attention/query/kernel"], old["encoder/1/attention/query/kernel"]
    )


class Node(tf.Module):
    """A place in a tree of objects, as Keras layers are one."""


def _tree(named):
    """Returns objects whose attributes and lists lead to variables by their names."""
    root = Node()
    for name, value in named.items():
        at = root
        *places, last = name.split("/")
        for place, following in zip(places, [*places[1:], last], strict=True):
            if isinstance(at, list):
                at += [Node() for _ in range(int(place) + 1 - len(at))]
                at = at[int(place)]
            else:
                if not hasattr(at, place):
                    setattr(at, place, [] if following.isdecimal() else Node())
                at = getattr(at, place)
        setattr(at, last, tf.Variable(value))
    return root


@pytest.mark.parametrize("tied", ["output", "none"])
def test_checkpoints_of_opennmt_tf_are_read_by_the_names_that_stand_ready(
    tied, tmp_path
):
    old = _weights(20, 1, tied_embeddings=tied)
    theirs = {}
    lines = NAMES.read_text().split("\n")
    pairs = [line.split() for line in lines if line and line[0] != "#"]
    for name, value in old.items():
        back = {
            found
            for pattern, ours in pairs
            for found in name_map.matching({name: name}, ours.split(".")[0], pattern)
        }
        assert len(back) == 1, name
        is_output = name == "output_embedding/vectors"
        theirs[back.pop()] = value.numpy()[:20].T if is_output else value.numpy()
    root = _tree({name.removeprefix("model/"): value for name, value in theirs.items()})
    prefix = tf.train.Checkpoint(model=root).save(str(tmp_path / "ckpt"))
    shifted = ["<blank>", *OLD[:19]]  # row i is of the subword before
    (tmp_path / "vocab").write_text("\n".join(shifted) + "\n")
    new = _weights(20, 2, tied_embeddings=tied)
    asked = config.StartConfig(
        init_from=prefix,
        name_map=str(NAMES),
        init_vocab=(str(tmp_path / "vocab"),),
    )
    (report,) = starting.begin(new, asked, {"src": OLD, "tgt": OLD})
    assert not report.fresh
    assert not report.other_shape
    for name, weight in new.items():
        if name.endswith("vectors"):
            np.testing.assert_array_equal(weight[:19], old[name][1:20])
        else:
            np.testing.assert_array_equal(weight, old[name])


def test_weights_are_frozen_by_the_beginning_of_their_name():
    names = list(_weights(20, 1))
    found = starting.frozen(names, ["encoder/0", "embeddings"])
    assert "src_embedding/vectors" in found
    assert "encoder/0/attention/query/kernel" in found
    assert not any(name.startswith(("encoder/1", "encoder_norm")) for name in found)
    with pytest.raises(exits.Refusal, match="--freeze=enc: .* decoder, decoder_norm"):
        starting.frozen(names, ["enc"])
    heads = sorted({name.partition("/")[0] for name in names})
    with pytest.raises(exits.Refusal, match="nothing to train"):
        starting.frozen(names, heads)


def test_word_vectors_are_taken_at_the_length_of_drawn_ones(tmp_path):
    path = tmp_path / "vectors.txt"
    rng = np.random.default_rng(1)
    given = {f"w{k}": 7 * rng.normal(size=16) for k in range(5, 30)}
    path.write_text(
        "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in given.items())
    )
    weights = _weights(20, 1)
    before = weights["src_embedding/vectors"].numpy()
    asked = config.StartConfig(src_embeddings=str(path))
    pieces = ["\u2581" + piece for piece in OLD]
    (report,) = starting.begin(weights, asked, {"src": pieces, "tgt": pieces})
    assert report.by_piece == {"src_embedding/vectors": "15 of 20 subwords"}
    vectors = weights["src_embedding/vectors"].numpy()
    np.testing.assert_array_equal(vectors[:5], before[:5])
    lengths = np.linalg.norm(vectors[5:20], axis=1)
    assert np.sqrt(np.mean(lengths**2)) == pytest.approx(1, rel=1e-5)
    cosine = vectors[5] @ given["w5"] / lengths[0] / np.linalg.norm(given["w5"])
    assert cosine == pytest.approx(1, rel=1e-5)
    apart = config.StartConfig(tgt_embeddings=str(path))
    with pytest.raises(exits.Refusal, match="--tgt_embeddings"):
        starting.begin(weights, apart, {"src": pieces, "tgt": pieces})


def test_word_vectors_of_another_size_are_refused(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("w1 1 2 3\n")
    asked = config.StartConfig(src_embeddings=str(path))
    with pytest.raises(exits.Refusal, match="3 numbers, the model of 16"):
        starting.begin(_weights(20, 1), asked, {"src": OLD, "tgt": OLD})
