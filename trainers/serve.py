"""Serves a page to try a trained model, and a JSON endpoint, on this machine alone.

    python -m trainers.serve --workdir=runs/quickstart/work

Open the address it prints. SIGTERM or Ctrl-C ends it.
"""

import dataclasses
import errno
import functools
import pathlib
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from flags import binding
from pipeline import exits, extras, knobs, progress, runtime, vocabulary
from trainers import config, decoding_config, run_directory, seq2vec_config

if TYPE_CHECKING:
    from trainers.serving import web


_PORT_ERRORS = {
    errno.EADDRINUSE: "another program listens there",
    errno.EACCES: "only a privileged user may listen there",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What to serve."""

    weights: decoding_config.WeightsConfig
    decoding: decoding_config.DecodingConfig
    port: int = knobs.knob(8000, "On 127.0.0.1; 0 for any that is free.")
    max_chars: int = knobs.knob(2000, "The longest text taken, in characters.")

    def __post_init__(self) -> None:
        """Raises ValueError for a port or a length that cannot be."""
        knobs.require_in(self, "[0, 65535]", "port")
        knobs.require_positive(self, "max_chars")


def main(asked: ServeConfig) -> None:
    """Serves until a signal."""
    for module in ("bottle", "waitress"):
        extras.load(module, needed_by="trainers.serve")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    of_vectors = run_directory.is_of_vectors(pathlib.Path(asked.weights.workdir))
    answer, which = (_classes if of_vectors else _translations)(asked)
    from trainers import out_of_memory
    from trainers.serving import web

    endpoint = web.PREDICT if of_vectors else web.TRANSLATE
    application = web.app(answer, asked.max_chars, endpoint=endpoint)
    try:
        server = web.server(application, asked.port, asked.max_chars)
    except OSError as error:
        if error.errno not in _PORT_ERRORS:
            raise
        raise exits.Refusal(
            exits.LOCKED,
            f"--port={asked.port}: {_PORT_ERRORS[error.errno]}; name another, or 0 for "
            "any that is free",
        ) from None
    with out_of_memory.decoding_refused(asked.decoding):
        answer("a")  # traces, so that nobody waits for it
    progress.logger.info("serving %s", which)
    print(f"http://{web.HOST}:{server.effective_port}/", flush=True)
    server.run()


def _translations(asked: ServeConfig) -> "tuple[web.Answer, str]":
    """Returns what answers with hypotheses, and which weights it has."""
    workdir = pathlib.Path(asked.weights.workdir)
    flagfiles = run_directory.flagfiles_of_texts(
        asked.weights.workdir, asked.decoding.ensemble
    )
    runs = [binding.read_or_exit(path, config.Seq2SeqConfig) for path in flagfiles]
    for run in runs:
        decoding_config.check_decodable(run.model, asked.decoding)
    vocabularies = vocabulary.load_copy(workdir / run_directory.VOCABULARY)
    runtime.start()
    from trainers import restoring, translation
    from trainers.serving import answers

    model, which = restoring.load_together(
        runs, asked.weights, asked.decoding.ensemble, vocabularies
    )
    translator = translation.Translator(
        model, vocabularies, asked.decoding, n_best=asked.decoding.beam_size
    )
    answer = answers.Translations(
        model,
        vocabularies,
        translator,
        max_source_tokens=asked.decoding.max_source_tokens,
    )
    return answer, which


def _classes(asked: ServeConfig) -> "tuple[web.Answer, str]":
    """Returns what answers with classes, and which weights it has."""
    workdir = pathlib.Path(asked.weights.workdir)
    if asked.decoding != decoding_config.DecodingConfig():
        raise exits.Refusal(
            exits.USAGE,
            f"--workdir={workdir}: is a run of trainers.seq2vec, which decodes "
            "nothing; leave flags of decoding out",
        )
    path = run_directory.flagfile_of_vectors(workdir)
    run = binding.read_or_exit(path, seq2vec_config.Seq2VecConfig)
    if run.head.head == "embedding":
        raise exits.Refusal(
            exits.USAGE,
            f"--workdir={workdir}: a run of --head=embedding has no classes to show; "
            "trainers.predict --vectors=FILE.npy writes its vectors",
        )
    runtime.start()
    from trainers import prediction
    from trainers.serving import answers

    restored = prediction.load(run, asked.weights)
    return answers.Classes(restored.predictor(), restored.names), restored.which


def _end(number: int, _: object) -> NoReturn:
    """Ends the program as done: there is nothing to be saved."""
    progress.logger.info("ended by %s", signal.Signals(number).name)
    sys.exit(exits.DONE)


if __name__ == "__main__":
    progress.configure_logging()
    parsed = binding.parse_or_exit(sys.argv, ServeConfig, __doc__)
    sys.exit(exits.run(functools.partial(main, parsed)))
