"""How fast text becomes shards, beside SentencePiece alone, and in how much memory.

    python -m tests.benchmarks.encoding                     made-up sentences
    python -m tests.benchmarks.encoding --train=a.tsv.gz    your own, source TAB target

The bare side is one `SentencePieceProcessor.encode(num_threads=2)` a side over lists
that are in memory already. The other is a build with two workers: reading, splitting,
cleaning, encoding, records, checksums, writing; the interpreter has started and the
subwords are learned. Last line of stdout: one JSON object.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import sentencepiece

from preprocessing import lines
from tests import programs, small_data

_RUNS = 5
_PAIRS = 150_000
_TIMES = (1, 10, 40)  # as many pairs, for memory


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=pathlib.Path, help="TSV, .gz or plain")
    train: pathlib.Path | None = parser.parse_args().train
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if train is None:
            train = folder / "pairs.tsv"
            pairs = small_data.pairs(_PAIRS)
            train.write_text("".join(f"{src}\t{tgt}\n" for src, tgt in pairs))
        _build(folder, train, "--shared_vocab", "--spm_sample=100000")
        model = folder / "shared.model"
        (folder / "data" / "shared.model").rename(model)
        rows = [
            line.decode().split("\t")[:2]
            for line in lines.read(train, 1 << 16, "utf-8")
        ]
        speeds = _speeds(folder, train, model, rows)
        memory = _memory(folder, model, rows)
    print(json.dumps(speeds | memory))


def _speeds(
    folder: pathlib.Path,
    train: pathlib.Path,
    model: pathlib.Path,
    rows: list[list[str]],
) -> dict[str, float]:
    """Alternates both, so that a busy minute meets both, and takes the medians."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    src, tgt = ([row[side] for row in rows] for side in (0, 1))
    bare, built = [], []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        processor.encode(src, num_threads=2)
        processor.encode(tgt, num_threads=2)
        bare.append(len(rows) / (time.perf_counter() - begin))
        secs, _ = _build(folder, train, f"--spm_model={model}")
        built.append(len(rows) / secs)
    bare_rate, built_rate = statistics.median(bare), statistics.median(built)
    ratio = statistics.median(
        [one / other for one, other in zip(built, bare, strict=True)]
    )
    print(f"{len(rows):,} pairs, median of {_RUNS} runs in turn")
    print(f"  encode alone, 2 threads  {bare_rate:10,.0f} pairs/s")
    print(f"  build, 2 workers         {built_rate:10,.0f} pairs/s  ratio {ratio:.2f}")
    return {
        "encode_pairs_per_sec": bare_rate,
        "build_pairs_per_sec": built_rate,
        "build_ratio": ratio,
    }


def _memory(
    folder: pathlib.Path, model: pathlib.Path, rows: list[list[str]]
) -> dict[str, float]:
    """Builds from these pairs and from several times as many, all distinct."""
    peaks = {}
    for times in _TIMES:
        path = folder / f"{times}.tsv"
        with path.open("w", encoding="utf-8") as file:
            for copy in range(times):
                file.writelines(
                    f"{copy} {number} {src}\t{tgt}\n"
                    for number, (src, tgt) in enumerate(rows)
                )
        secs, peak = _build(folder, path, f"--spm_model={model}", "--dedup")
        path.unlink()
        count = times * len(rows)
        peaks[f"peak_rss_mb_{count}"] = peak
        print(f"  --dedup, {count:9,} pairs  {peak:8.0f} MB peak, {secs:.1f} s")
    return peaks


# Runs the program in a process of its own and prints how long its main function took.
_TIMED = """
import resource, sys, time
from flags import binding
from preprocessing import build, config
from trainers.clock import peak_rss_mb
asked = binding.parse(sys.argv[1:], config.BuildConfig)
begin = time.perf_counter()
build.main(asked)
secs = time.perf_counter() - begin
of_workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(secs, max(peak_rss_mb(), of_workers))
"""


def _build(
    folder: pathlib.Path, train: pathlib.Path, *flags: str
) -> tuple[float, float]:
    """Builds; returns the seconds it took and its largest process, in MB."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", _TIMED),
            f"--data_dir={folder / 'data'}",
            f"--train={train}",
            "--valid_fraction=0.01",
            "--test_fraction=0.01",
            "--num_workers=2",
            "--overwrite",
            *flags,
        ],
        cwd=programs.ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    secs, peak = map(float, done.stdout.split()[-2:])
    return secs, peak


if __name__ == "__main__":
    main()
