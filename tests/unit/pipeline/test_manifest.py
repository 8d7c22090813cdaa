import dataclasses
import json

import pytest

from pipeline import exits, manifest, sidecars


def _damage(data_dir, change):
    path = data_dir / manifest.FILENAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_written_is_read(own_data_dir):
    facts = manifest.read(own_data_dir)
    manifest.write(facts, own_data_dir)
    assert manifest.read(own_data_dir) == facts


def test_the_numbers_of_a_split_add_up(data_dir):
    split = manifest.read(data_dir).split("train")
    assert split.pairs_read == split.num_records + sum(split.rejects.values())
    histogram = split.joint_histogram()
    assert histogram[:, 2].sum() == split.num_records
    tokens = (histogram[:, :2] * histogram[:, 2:]).sum(axis=0).tolist()
    assert tokens[0] == sum(shard.src_tokens for shard in split.shards)
    assert tokens[1] == sum(shard.tgt_tokens for shard in split.shards)


def test_a_missing_directory_and_a_missing_manifest_are_missing_input(tmp_path):
    """FAULTS 27."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(exits.Refusal, match="--data_dir=") as error:
            manifest.read(path)
        assert error.value.code == exits.MISSING_INPUT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format_version=99), "format version 99"),
        (lambda content: content.pop("format_version"), "cannot be read"),
        (lambda content: content.pop("splits"), "cannot be read"),
        (lambda content: content.update(splits=[]), "cannot be read"),
        (lambda content: content["splits"]["train"].pop("shards"), "cannot be read"),
    ],
)
def test_an_unreadable_manifest_is_refused(own_data_dir, change, message):
    """FAULTS 27."""
    _damage(own_data_dir, change)
    with pytest.raises(exits.Refusal, match=message) as error:
        manifest.read(own_data_dir)
    assert error.value.code == exits.BAD_DATA


def test_the_first_version_is_read(own_data_dir):
    facts = manifest.read(own_data_dir)

    def as_it_was(content):
        content["format_version"] = 1
        for name in ("label_names", "overlap"):
            del content[name]
        for split in content["splits"].values():
            for name in ("resampled", "repeats", "truncated", "unknown"):
                del split[name]

    _damage(own_data_dir, as_it_was)
    splits = {
        name: dataclasses.replace(split, unknown={})
        for name, split in facts.splits.items()
    }
    expected = dataclasses.replace(facts, format_version=1, overlap={}, splits=splits)
    assert manifest.read(own_data_dir) == expected


def test_half_a_manifest_is_refused(own_data_dir):
    path = own_data_dir / manifest.FILENAME
    path.write_text(path.read_text()[:100])
    with pytest.raises(exits.Refusal, match="cannot be read"):
        manifest.read(own_data_dir)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("train-00001-of-00003.tfrecord", _cut, "bytes, the manifest says"),
        (
            "train-00001-of-00003.tfrecord",
            lambda path: path.write_bytes(b""),
            "0 bytes",
        ),
        ("train-00001-of-00003.tfrecord", lambda path: path.unlink(), "is missing"),
        ("train-00001-of-00003.lengths", _cut, "bytes, the manifest says"),
        (
            "train-00009-of-00003.tfrecord",
            lambda path: path.touch(),
            "not in the manifest",
        ),
    ],
)
def test_files_that_are_not_as_written_are_found_at_the_start(
    own_data_dir, name, damage, message
):
    """FAULTS 24 and 25."""
    facts = manifest.read(own_data_dir)
    manifest.check_files(facts, own_data_dir, "train")
    damage(own_data_dir / name)
    with pytest.raises(exits.Refusal, match=message) as error:
        manifest.check_files(facts, own_data_dir, "train")
    assert error.value.code == exits.BAD_DATA
    assert name in str(error.value)


def test_a_split_without_records_is_refused_with_the_way_out(own_data_dir):
    facts = manifest.read(own_data_dir)
    facts.splits.pop("test")
    with pytest.raises(exits.Refusal, match="no 'test' examples.*--test_src"):
        facts.split("test")


def test_identity_is_of_the_content_and_not_of_the_place(own_data_dir, data_dir):
    facts = manifest.read(own_data_dir)
    moved = own_data_dir.rename(own_data_dir.with_name("moved"))
    assert manifest.identity(manifest.read(moved)) == manifest.identity(facts)
    assert manifest.identity(manifest.read(data_dir)) != manifest.identity(facts)


def test_lengths_files_are_beside_their_shards(data_dir):
    for path in manifest.read(data_dir).shard_paths(data_dir, "train"):
        assert sidecars.lengths_path(path).is_file()
