"""What a run knows of itself beside its tensors; saved with every checkpoint."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class RunState:
    """The facts of a run that are not tensors.

    Attributes:
        facts: What a resumed run must find unchanged.
        best: Metric, value and step of the best validation.
        num_not_better: Validations since then.
        num_on_plateau: The same, since the rate last fell.
        rate_factor: What validation has made of the learning rate.
        early_stop: Whether the run is over because validation does not get better.
        unvalidated: A step whose validation a signal cut short; it comes first when
            the run goes on.
        num_resumes: How often the run was started again.
        history: What happened to the run: resumes on another machine or with other
            flags, new data.
    """

    facts: dict[str, Any]
    best: dict[str, Any] | None = None
    num_not_better: int = 0
    num_on_plateau: int = 0
    rate_factor: float = 1.0
    early_stop: bool = False
    unvalidated: int | None = None
    num_resumes: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def restore(self, saved: dict[str, Any]) -> None:
        """Takes over what a checkpoint says, except the facts."""
        for field in dataclasses.fields(self):
            if field.name != "facts" and field.name in saved:
                setattr(self, field.name, saved[field.name])

    def forget_validations(self) -> None:
        """Forgets what was found on a valid split that is no longer the run's."""
        self.best, self.unvalidated, self.early_stop = None, None, False
        self.num_not_better = self.num_on_plateau = 0
