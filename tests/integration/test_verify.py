"""preprocessing.verify finds whatever was damaged, and says where."""

import collections
import gzip
import hashlib
import json

import numpy as np
import pytest

from pipeline import exits, frames, manifest, records
from preprocessing import verify
from tests import damage, programs

VERIFY = "preprocessing.verify"
SHARD = "train-00001-of-00003.tfrecord"
LENGTHS = "train-00001-of-00003.lengths"


def _edit(data_dir, change):
    path = data_dir / manifest.FILENAME
    content = json.loads(path.read_text())
    change(content["splits"]["train"])
    path.write_text(json.dumps(content))


def _rewrite_shard(data_dir):
    """Puts an id beyond the vocabulary into a record, with everything else in order."""
    serialized = records.serialize([4, 99_999], [5])
    shard, sidecar = data_dir / SHARD, data_dir / LENGTHS
    shard.write_bytes(frames.frame(serialized))
    sidecar.write_bytes(np.array([[2, 1]], "<u2").tobytes())

    def change(train):
        entry = train["shards"][1]
        train["pairs_read"] += 1 - entry["records"]
        entry["records"], entry["bytes"] = 1, shard.stat().st_size
        for name, path in (("sha256", shard), ("lengths_sha256", sidecar)):
            entry[name] = hashlib.sha256(path.read_bytes()).hexdigest()

    _edit(data_dir, change)


def test_a_good_directory_is_said_to_be_good(data_dir):
    """Promise P3."""
    out = programs.succeed(VERIFY, f"--data_dir={data_dir}")
    assert "340 records in 5 shards are as the manifest says" in out


def test_a_directory_on_a_remote_file_system_is_verified(data_dir):
    """`file://` stands for `gs://`: both go through tf.io.gfile."""
    out = programs.succeed(VERIFY, f"--data_dir=file://{data_dir}", "--sample=1")
    assert f"file://{data_dir}: 340 records in 5 shards are as the man" in out


def test_a_sample_goes_on_in_the_next_shard(data_dir, capsys):
    verify.main(verify.VerifyConfig(data_dir=str(data_dir), sample=150))
    out = capsys.readouterr().out
    shown = collections.Counter(line.split("\t")[0] for line in out.split("\n"))
    assert shown["train"] == 150
    facts = manifest.read(data_dir)
    assert facts.splits["train"].shards[0].records < 150
    assert shown["valid"] == facts.splits["valid"].num_records


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda d: damage.flip_a_bit(d / SHARD, -20),
            f"{SHARD}: record 19: its data does not match",
        ),
        (lambda d: damage.flip_a_bit(d / LENGTHS, -20), f"{LENGTHS}: its SHA-256"),
        (lambda d: (d / SHARD).write_bytes(b""), f"{SHARD}: has 0 bytes"),
        (lambda d: (d / LENGTHS).unlink(), f"{LENGTHS}: is missing"),
        (
            lambda d: (d / "rejects.tsv.gz").write_bytes(
                gzip.compress(b"source\tline\treason\ttext\na\t1\tempty\t\n")
            ),
            "rejects.tsv.gz: has {'empty': 1}",
        ),
        (
            lambda d: (d / "rejects.tsv.gz").write_bytes(
                gzip.compress(b"source\tline\treason\ttext\na\t1\n")
            ),
            "rejects.tsv.gz: line 2 has not the fields",
        ),
        (lambda d: (d / "rejects.tsv.gz").unlink(), "rejects.tsv.gz: is missing"),
        (
            lambda d: _edit(d, lambda train: train.update(pairs_read=61)),
            "61 pairs read, but 60 accounted for",
        ),
        (
            lambda d: _edit(d, lambda train: train["histogram"]["src"].reverse()),
            "its histogram is not the sidecars'",
        ),
        (
            lambda d: _edit(d, lambda train: train["unknown"].update(tgt=7)),
            "train: 0 tgt unknown, the manifest says 7",
        ),
        (_rewrite_shard, f"{SHARD}: record 0: other lengths"),
    ],
)
def test_damage_is_exit_code_65_with_file_and_record(
    own_data_dir, harm, message, capsys
):
    """FAULTS 23, 24, 26 and 29; in this process, as a new one takes seconds."""
    harm(own_data_dir)
    asked = verify.VerifyConfig(data_dir=str(own_data_dir))
    assert exits.run(lambda: verify.main(asked)) == exits.BAD_DATA
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert message in line
