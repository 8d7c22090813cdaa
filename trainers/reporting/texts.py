"""What a model said to some sentences of the valid split, step by step."""

from trainers.reporting import collecting, markup, samples

_MAX_STEPS = 4  # validations shown of each sentence, the last ones
_MAX_SENTENCES = 10
_MOST_LETTERS = 400  # of a text


def describe(run: collecting.Run, *, lowercase: bool) -> list[markup.Markup]:
    """Returns the sentences, those said worst first and best last.

    Args:
        run: The run.
        lowercase: Whether the data has no case, so that scores ignore it.
    """
    steps = sorted(run.samples)
    last = run.samples[steps[-1]] if steps else []
    if not last:
        why = "The run kept no samples (--eval_examples, --eval_samples)."
        return [markup.tag("p", why, class_="told")]
    chrf = [one.chrf(lowercase=lowercase) for one in last]
    order = sorted(range(len(last)), key=chrf.__getitem__)
    if len(order) > _MAX_SENTENCES:
        half = _MAX_SENTENCES // 2
        order = order[:half] + order[-half:]
    told = (
        f"After step {steps[-1]:,}, by chrF of the last hypothesis: the worst first, "
        "the best last."
    )
    cards = [_card(run, steps[-_MAX_STEPS:], number, chrf[number]) for number in order]
    return [
        markup.tag("p", told, class_="told"),
        markup.tag("div", cards, class_="cards"),
    ]


def _card(
    run: collecting.Run, steps: list[int], number: int, chrf: float
) -> markup.Markup:
    """Returns a sentence with what was said to it at several steps."""
    last = run.samples[steps[-1]][number]
    lines = [_line("source", last.source)]
    lines += [
        _line(f"step {step:,}", said.hypothesis, "said")
        for step in steps
        if (said := _same(run.samples[step], last.source, number)) is not None
    ]
    lines += [_line("reference", reference) for reference in last.references]
    score = markup.tag("span", f"chrF {chrf:.1f}", class_="score")
    return markup.tag("dl", score, lines)


def _same(
    there: list[samples.Sample], source: str, number: int
) -> samples.Sample | None:
    """Returns what was said to the same sentence, should other ones have been shown."""
    if number < len(there) and there[number].source == source:
        return there[number]
    return next((one for one in there if one.source == source), None)


def _line(name: str, text: str, kind: str | None = None) -> list[markup.Markup]:
    cut = text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"
    return [
        markup.tag("dt", name),
        markup.tag("dd", cut or "(nothing)", class_=kind, dir="auto"),
    ]
