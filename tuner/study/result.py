"""The result of a search, in values that can be written as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, final


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a search.

    `trials` holds the number of trials by state, `best` the best trial, and `champion` the
    registered version with its score on the test split and whether it was promoted. It is None
    where the data show no clusters, and nothing was registered. `pending` says why the champion
    is not registered yet, and is None once that is settled. `finalists` hold mean and sd over
    fresh seeds, `baselines` the scores of k-means and Louvain on the same graph. `structure` is
    the test for clusters, `components` the score by number of clusters and the number chosen.
    `audit` says how well the choice without labels did, and is None without labels. `stopped`
    says why the search ended before the `asked` trials, and is None where it ran them all.
    """

    search: str
    trials: Mapping[str, int]
    best: Mapping[str, Any]
    champion: Mapping[str, Any] | None
    audit: Mapping[str, Any] | None
    seconds: float
    tracking_uri: str
    finalists: Sequence[Mapping[str, Any]] = ()
    baselines: Mapping[str, float] = field(default_factory=dict)
    structure: Mapping[str, Any] | None = None
    components: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    pending: str | None = None
    stopped: str | None = None
    asked: int | None = None

    @property
    def is_unclustered(self) -> bool:
        """Whether nothing was registered because the data show no clusters."""
        return self.champion is None and self.pending is None

    def to_mapping(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the result from the values of `to_mapping`."""
        finalists = [_renamed(row) for row in values.get("finalists", ())]
        return cls(**{**values, "finalists": finalists})


def _renamed(finalist: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finalist in today's words: the chosen replica was once called the best one."""
    return {{"best": "chosen"}.get(key, key): value for key, value in finalist.items()}
