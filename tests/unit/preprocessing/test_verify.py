import gzip
import json
import tracemalloc

from pipeline import manifest
from preprocessing import verify


def test_rejects_are_not_in_memory_all_at_once(own_data_dir):
    """A corpus may have millions."""
    line = b"train.tsv\t1\tempty\t" + b"word " * 200 + b"\n"
    rejects = gzip.compress(b"source\tline\treason\ttext\n" + line * 50_000)
    (own_data_dir / "rejects.tsv.gz").write_bytes(rejects)
    path = own_data_dir / manifest.FILENAME
    content = json.loads(path.read_text())
    train = content["splits"]["train"]
    train["rejects"] = {"empty": 50_000}
    train["pairs_read"] += 50_000
    path.write_text(json.dumps(content))
    tracemalloc.start()
    try:
        verify.main(verify.VerifyConfig(data_dir=str(own_data_dir)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000 < 50_000 * len(line)
