import pytest

from preprocessing import config, corpus_config, runner_config, subword_config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no corpus"),
        ({"corpus": "numbers", "train": ("a",)}, "--corpus=numbers and --train excl"),
        ({"train_src": ("a",)}, "--train_tgt is missing"),
        ({"train": ("a",), "valid_tgt": ("a",)}, "--valid_src is missing"),
        ({"train": ("a",), "train_src": ("a",), "train_tgt": ("a",)}, "exclude each"),
        ({"train": ("a",), "valid_fraction": 1.0}, "--valid_fraction=1.0"),
        ({"train": ("a",), "valid_fraction": -0.1}, "--valid_fraction=-0.1"),
        ({"train": ("a",), "valid": ("b",), "valid_fraction": 0.1}, "is given already"),
        ({"corpus": "numbers", "test_fraction": 0.1}, "is given already"),
        ({"train": ("a",), "columns": ("1",)}, "--columns=1"),
        ({"train": ("a",), "columns": ("0", "1")}, "--columns=0,1"),
        ({"train": ("a",), "max_reject_fraction": 2.0}, "--max_reject_fraction"),
        ({"train": ("a",), "format": "tmx"}, "--format=tmx needs languages"),
        ({"train": ("a",), "format": "regex"}, "needs --pattern"),
        ({"train": ("a",), "format": "regex", "pattern": "("}, "--pattern="),
        ({"train": ("a",), "format": "regex", "pattern": "(?P<src>.*)"}, "named src"),
        ({"train": ("a",), "encoding": "klingon"}, "--encoding=klingon"),
        ({"train": ("a",), "test_encoding": "klingon"}, "--test_encoding=klingon"),
        ({"train": ("a",), "encoding": "hex"}, "--encoding=hex: no such encoding"),
        ({"train": ("a",), "encoding": "idna"}, "--encoding=idna: no such encoding"),
        ({"train": ("a",), "valid_columns": ("3", "4")}, "--valid_columns is for"),
        ({"train": ("a",), "test_encoding": "cp1252"}, "--test_encoding is for files"),
        (
            {
                "train": ("a",),
                "valid_fraction": 0.1,
                "valid_reference_separator": "|",
            },
            "--valid_reference_separator is for files of --valid, and none is given",
        ),
        ({"train": ("a",), "delimiter": "::"}, "--delimiter=::"),
        ({"train": ("a",), "delimiter": ";"}, "--delimiter is for .* --format=csv"),
        ({"train": ("a",), "pattern": ".*"}, "--pattern is for .* --format=regex"),
        ({"train": ("a",), "format": "jsonl", "header": True}, "--header is for"),
        ({"train": ("a",), "format": "po", "columns": ("1", "2")}, "--columns is for"),
        (
            {"train": ("a",), "valid": ("b",), "valid_pattern": ".*"},
            "--valid_pattern is for files of --valid_format=regex, and .* read as tsv",
        ),
        (
            {"train": ("a",), "test": ("b",), "format": "jsonl", "test_header": False},
            "--test_header is for files of --test_format=csv or tsv, and",
        ),
        (
            {
                "train": ("a",),
                "valid": ("b",),
                "valid_format": "po",
                "valid_columns": ("1", "2"),
            },
            "--valid_columns is for files of --valid_format=csv or jsonl",
        ),
        (
            {
                "train": ("a",),
                "valid": ("b",),
                "valid_format": "parquet",
                "valid_encoding": "cp1252",
            },
            "--valid_encoding is for files of --valid_format=csv or jsonl or po",
        ),
        (
            {
                "train": ("a",),
                "format": "tmx",
                "columns": ("en", "fr"),
                "encoding": "cp1252",
            },
            "--encoding=cp1252: no file of --train",
        ),
        ({"train": ("a",), "format": "parquet", "encoding": "cp1252"}, "no file of"),
        ({"corpus": "numbers", "train_weights": ("5",)}, "--train_weights is for file"),
        ({"corpus": "numbers", "train_names": ("zzz",)}, "--train_names is for files"),
        ({"corpus": "numbers", "columns": ("1", "2")}, "--columns is for"),
        ({"corpus": "numbers", "format": "po"}, "--format=po: no file of --train"),
        ({"corpus": "numbers", "encoding": "cp1252"}, "--encoding=cp1252: no file"),
        (
            {
                "train_src": ("a",),
                "train_tgt": ("b",),
                "valid": ("c",),
                "valid_format": "jsonl",
                "format": "po",
            },
            "--format=po: no file",
        ),
        (
            {"train_src": ("a",), "train_tgt": ("b",), "columns": ("1", "2")},
            "--columns is for .* --format=csv or jsonl",
        ),
        (
            {"corpus": "numbers", "test_reference_separator": "|"},
            "--reference_separator=. is for files",
        ),
        ({"train": ("a", "b"), "train_names": ("x",)}, "--train_names has 1 entries"),
        ({"train": ("a",), "train_weights": ("none",)}, "--train_weights=none"),
        ({"train": ("a",), "train_weights": ("0",)}, "--train_weights=0"),
    ],
)
def test_a_corpus_that_is_not_clear_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        corpus_config.CorpusConfig(**given)


def test_what_all_splits_may_share_is_taken_where_one_does():
    sides = {"train_src": ("a",), "train_tgt": ("b",)}
    corpus_config.CorpusConfig(**sides, encoding="cp1252")
    corpus_config.CorpusConfig(**sides, valid=("c",), format="po")
    other = {"valid_format": "po", "valid_encoding": "cp1252"}
    corpus_config.CorpusConfig(train=("a",), valid=("c",), format="jsonl", **other)


def test_flags_of_a_layout_may_be_for_any_of_the_splits():
    corpus = corpus_config.CorpusConfig(
        train_src=("a",),
        train_tgt=("b",),
        valid=("c",),
        valid_format="regex",
        test=("d",),
        test_format="csv",
        columns=("1", "3"),
        delimiter=";",
        header=True,
        pattern="(?P<src>.*) (?P<tgt>.*)",
    )
    assert (corpus.layout("test").delimiter, corpus.layout("test").header) == (
        ";",
        True,
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocab_size": 3}, "--vocab_size"),
        ({"vocab_size": 70_000}, "--vocab_size"),
        ({"character_coverage": 0.1}, "--character_coverage"),
        ({"character_coverage": 0.97}, r"--character_coverage must be in \[0.98, 1\]"),
        ({"user_defined_symbols": ("<a>", "</s>")}, "--user_defined_symbols=</s>: is"),
        ({"shared_vocab": True, "src_vocab_size": 100}, "--src_vocab_size needs sep"),
        ({"spm_model": "a", "tgt_model_type": "bpe"}, "--tgt_model_type needs sep"),
        ({"spm_model": "a", "lowercase": True}, "--spm_model and --lowercase excl"),
        ({"spm_model": "a", "vocab_size": 100}, "--spm_model and --vocab_size excl"),
        ({"spm_model": "a", "src_spm_model": "b"}, "--src_spm_model needs separate"),
        ({"shared_vocab": True, "tgt_spm_model": "b"}, "--tgt_spm_model needs separ"),
        (
            {"src_spm_model": "a", "tgt_spm_model": "b", "lowercase": True},
            "--src_spm_model and --lowercase exclude",
        ),
        (
            {"src_spm_model": "a", "tgt_spm_model": "b", "vocab_size": 100},
            "--src_spm_model and --vocab_size exclude",
        ),
        (
            {"tgt_spm_model": "b", "tgt_model_type": "bpe"},
            "--tgt_spm_model and --tgt_model_type exclude",
        ),
        ({"normalize_rules": "a", "lowercase": True}, "--normalize_rules and --lower"),
        ({"normalize": "nfkc_cf", "lowercase": True}, "--lowercase and --normalize"),
        ({"subword_samples": 2, "model_type": "char"}, "--subword_samples=2: char"),
        ({"sampling_alpha": 0.0}, "--sampling_alpha"),
        ({"sampling_alpha": 0.5}, "--sampling_alpha=0.5 needs --subword_samples"),
        ({"spm_threads": 0}, "--spm_threads"),
        ({"spm_sample": -1}, "--spm_sample"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        subword_config.SubwordConfig(**given)


def test_beside_one_given_model_the_other_is_learned_as_asked():
    asked = subword_config.SubwordConfig(
        src_spm_model="a", tgt_vocab_size=100, lowercase=True, byte_fallback=True
    )
    assert (asked.given("src"), asked.given("tgt")) == ("a", None)
    assert asked.size("tgt") == 100


@pytest.mark.parametrize(
    "given",
    [
        {"max_length": 1},
        {"max_bytes": 70_000},
        {"max_ratio": 0.5},
        {"min_length": 256},
        {"src_script": "Elvish"},
        {"min_script_share": 0.0},
    ],
)
def test_bounds_that_keep_nothing_are_refused(given):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}"):
        config.CleaningConfig(**given)


@pytest.mark.parametrize(
    ("given", "waking"),
    [
        ({"same_by": "source"}, {"dedup": True}),
        ({"same_by": "source"}, {"drop_overlap": True}),
        ({"min_script_share": 0.9}, {"tgt_script": "Latin"}),
    ],
)
def test_a_bound_that_nothing_goes_by_is_refused(given, waking):
    with pytest.raises(ValueError, match=f"--{next(iter(given))}=.* needs --"):
        config.CleaningConfig(**given)
    config.CleaningConfig(**given, **waking)


def test_a_side_takes_the_common_setting_unless_it_has_its_own():
    settings = subword_config.SubwordConfig(
        vocab_size=100, tgt_vocab_size=50, model_type="bpe", src_model_type="char"
    )
    assert (settings.size("src"), settings.size("tgt")) == (100, 50)
    assert (settings.type("src"), settings.type("tgt")) == ("char", "bpe")
    assert subword_config.SubwordConfig().type("src") == "unigram"


def test_a_split_takes_the_common_layout_unless_it_has_its_own():
    corpus = corpus_config.CorpusConfig(
        train=("a",),
        columns=("text", "label"),
        test=("b",),
        test_columns=("3", "1"),
        encoding="cp1252",
        reference_separator="tab",
    )
    train, test = corpus.layout("train"), corpus.layout("test")
    assert (train.columns, train.header, train.encoding) == (
        ("text", "label"),
        True,
        "cp1252",
    )
    assert (test.columns, test.header, test.encoding) == (("3", "1"), False, "cp1252")
    assert train.reference_separator == test.reference_separator == "\t"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label_names": ("a",)}, "--label_names needs --task=labels"),
        ({"task": "labels", "soft_labels": True}, "--soft_labels needs --label_names"),
        ({"task": "labels", "label_names": ("a", "a")}, "a name is there twice"),
    ],
)
def test_labels_that_cannot_be_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        config.TaskConfig(**given)


@pytest.mark.parametrize(
    ("group", "given"),
    [
        ("subwords", subword_config.SubwordConfig(shared_vocab=True)),
        ("subwords", subword_config.SubwordConfig(tgt_vocab_size=100)),
        ("subwords", subword_config.SubwordConfig(tgt_spm_model="a")),
        ("cleaning", config.CleaningConfig(max_ratio=2)),
        ("corpus", corpus_config.CorpusConfig(corpus="numbers")),
        (
            "corpus",
            corpus_config.CorpusConfig(
                train=("a",), valid=("b",), valid_reference_separator="|"
            ),
        ),
    ],
)
def test_labels_have_no_target_text(group, given):
    told = "pairs, not labels|labels have no text|a text has one label"
    with pytest.raises(ValueError, match=told):
        _labelled(**{group: given})


def _labelled(**groups) -> config.BuildConfig:
    given = {
        "output": config.OutputConfig(data_dir="a"),
        "corpus": corpus_config.CorpusConfig(train=("a",)),
        "task": config.TaskConfig(task="labels"),
        "subwords": subword_config.SubwordConfig(),
        "cleaning": config.CleaningConfig(),
    }
    return config.BuildConfig(**(given | groups))


def test_a_text_of_one_segmentation_has_no_samples_whatever_its_label():
    subwords = subword_config.SubwordConfig(subword_samples=2, src_model_type="char")
    with pytest.raises(ValueError, match="--subword_samples=2: char models have one"):
        _labelled(subwords=subwords)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_label_is_one_column(split):
    files = {"train": ("a",), split: ("a",), "format": "jsonl"}
    joined = corpus_config.CorpusConfig(**files, columns=("title+text", "label"))
    assert _labelled(corpus=joined).corpus.columns == ("title+text", "label")
    corpus = corpus_config.CorpusConfig(**files, columns=("title", "text", "label"))
    with pytest.raises(ValueError, match="--columns=title,text,label: .* a.b joins"):
        _labelled(corpus=corpus)


def test_a_model_given_for_texts_with_labels_leaves_nothing_to_learn():
    for asked in ({"vocab_size": 100}, {"normalize": "none"}):
        given = subword_config.SubwordConfig(src_spm_model="a", **asked)
        with pytest.raises(ValueError, match="--src_spm_model and --.* exclude"):
            _labelled(subwords=given)
    _labelled(subwords=subword_config.SubwordConfig(src_spm_model="a"))


@pytest.mark.parametrize("name", ["gs://bucket", "gs://bucket/"])
def test_a_whole_bucket_is_no_data_directory(name):
    with pytest.raises(ValueError, match="name a folder in it, gs://bucket/FOLDER"):
        _labelled(
            output=config.OutputConfig(data_dir=name),
            runner=runner_config.RunnerConfig(runner="beam"),
        )
