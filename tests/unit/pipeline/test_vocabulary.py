import pytest

from pipeline import exits, manifest, vocabulary
from preprocessing import subword_config, subwords


def _model(path, **options):
    settings = subword_config.SubwordConfig(**({"vocab_size": 60} | options))
    path.write_bytes(subwords.learn(["a b c d"] * 9, settings, "src", 1000))
    return path


def _entries(facts):
    return facts.src_vocabulary, facts.tgt_vocabulary


def test_special_ids_leave_no_trace_in_text(data_dir):
    both = vocabulary.load(data_dir, _entries(manifest.read(data_dir)))
    ids = both.tgt.encode(["ba du"])[0]
    assert both.tgt.decode([[1, *ids, 2, 0, 0]]) == ["ba du"]


def test_a_shared_vocabulary_is_one_object(data_dir):
    both = vocabulary.load(data_dir, _entries(manifest.read(data_dir)))
    assert both.shared
    assert both.src is both.tgt


def test_a_vocabulary_that_is_not_the_manifests_is_refused(own_data_dir):
    """FAULTS 29."""
    facts = manifest.read(own_data_dir)
    _model(own_data_dir / "shared.model")
    with pytest.raises(exits.Refusal, match=r"shared\.model: is not the voc") as error:
        vocabulary.load(own_data_dir, _entries(facts))
    assert error.value.code == exits.MISMATCH


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    """FAULTS 18."""
    path = tmp_path / "a.model"
    path.write_bytes(content)
    with pytest.raises(exits.Refusal, match=r"a\.model: not a Sent") as error:
        vocabulary.Vocabulary(path)
    assert error.value.code == exits.BAD_DATA


def test_half_a_model_is_refused(tmp_path):
    """FAULTS 18."""
    path = _model(tmp_path / "a.model")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(exits.Refusal):
        vocabulary.Vocabulary(path)


def test_a_model_with_other_special_ids_is_refused(tmp_path):
    """FAULTS 18."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(["a b c d"] * 9),
        model_prefix=str(tmp_path / "a"),
        vocab_size=12,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(exits.Refusal, match="--pad_id=0") as error:
        vocabulary.Vocabulary(tmp_path / "a.model")
    assert error.value.code == exits.MISMATCH


def test_a_copy_translates_without_the_data_directory(data_dir, tmp_path):
    both = vocabulary.load(data_dir, _entries(manifest.read(data_dir)))
    vocabulary.copy(data_dir, both.entries, tmp_path / "copy")
    copied = vocabulary.load_copy(tmp_path / "copy")
    assert copied.entries == both.entries
    assert copied.src.encode(["ba du"]) == both.src.encode(["ba du"])


def test_a_copy_that_is_there_is_not_written_again(data_dir, tmp_path):
    """FAULTS 3: a disk that is full by now would leave a finished run no vocabulary."""
    both = vocabulary.load(data_dir, _entries(manifest.read(data_dir)))
    vocabulary.copy(data_dir, both.entries, tmp_path)
    models = list(tmp_path.glob("*.model"))
    before = [path.stat().st_ino for path in models]
    vocabulary.copy(data_dir, both.entries, tmp_path)
    assert [path.stat().st_ino for path in models] == before
    models[0].write_bytes(b"half")
    vocabulary.copy(data_dir, both.entries, tmp_path)
    assert vocabulary.load_copy(tmp_path).entries == both.entries


@pytest.mark.parametrize("content", ["[", '[{"name": 1}]', "[1, 2]"])
def test_a_damaged_copy_is_bad_data(tmp_path, content):
    (tmp_path / "vocabularies.json").write_text(content)
    with pytest.raises(exits.Refusal, match="vocabularies.json: cannot be") as error:
        vocabulary.load_copy(tmp_path)
    assert error.value.code == exits.BAD_DATA


def test_a_missing_copy_is_missing_input(tmp_path):
    with pytest.raises(exits.Refusal, match="--workdir") as error:
        vocabulary.load_copy(tmp_path)
    assert error.value.code == exits.MISSING_INPUT


@pytest.mark.parametrize(
    ("options", "has_no_case"),
    [
        ({}, False),
        ({"normalize": "none"}, False),
        ({"lowercase": True}, True),
        ({"normalize": "nmt_nfkc_cf"}, True),
    ],
)
def test_a_model_tells_whether_its_texts_have_a_case(tmp_path, options, has_no_case):
    words = vocabulary.Vocabulary(_model(tmp_path / "a.model", **options))
    assert words.has_no_case == has_no_case
