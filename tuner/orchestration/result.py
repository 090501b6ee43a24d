"""The result of a search, as `tuner.search` returns it and as it is stored."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, final

if TYPE_CHECKING:
    import pandas as pd

    from ..ledger.ledger import OptunaStudy
    from ..training.saved_model import Model
    from .locations import Locations


@final
@dataclass(frozen=True, kw_only=True)
class Champion:
    """The registered version of a search's best clusterer.

    `score` is its objective on the test split with the 95 % `interval`, empty where the split is
    too small for one, `trial` the number of its trial, and `confidence` the share of random halves
    of the test points in which it scores at least as high as the runner-up.
    """

    name: str
    version: int
    uri: str
    promoted: bool
    score: float
    interval: Sequence[float]
    n_components: int
    trial: int
    confidence: float | None = None
    tracking_uri: str | None = field(default=None, repr=False, compare=False)

    def load(self, *, device: str = "cpu") -> "Model":
        """Return the clusterer, with its checksums verified. Raises what `tuner.load` raises."""
        from ..registry import load

        return load(self.uri, tracking_uri=self.tracking_uri, device=device)

    def to_mapping(self) -> dict[str, Any]:
        """Return the champion as JSON values."""
        fields = (f.name for f in dataclasses.fields(self) if f.name != "tracking_uri")
        return {name: getattr(self, name) for name in fields}


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a search.

    `counts` holds the number of trials by state, `best` the best trial, and `champion` the
    registered version with its score on the test split and whether it was promoted. It is None
    where the data show no clusters, and nothing was registered. `pending` says why the champion
    is not registered yet, and is None once that is settled. `finalists` hold mean and sd over
    fresh seeds, `baselines` the scores of k-means and Louvain on the same graph. `structure` is
    the test for clusters, `components` the score by number of clusters and the number chosen.
    `audit` says how well the choice without labels did, and is None without labels. `stopped`
    says why the search ended before the `asked` trials, and is None where it ran them all.
    """

    search: str
    counts: Mapping[str, int]
    best: Mapping[str, Any]
    champion: Champion | None
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
    storage: str | None = field(default=None, repr=False, compare=False)

    @property
    def is_unclustered(self) -> bool:
        """Whether nothing was registered because the data show no clusters."""
        return self.champion is None and self.pending is None

    @property
    def shown(self) -> int:
        """The rank of the finalist that is the champion, and of the first one without any."""
        trials = [finalist["trial"] for finalist in self.finalists]
        known = self.champion is not None and self.champion.trial in trials
        return trials.index(self.champion.trial) if self.champion and known else 0

    def trials(self) -> "pd.DataFrame":
        """Return all trials, a row each in order of their number.

        The columns are number, state, method, value (NaN unless complete), sd over the replicas,
        epochs, seconds and reason (of a failure), then one for each setting that was searched.
        """
        from ..ledger.ledger import Ledger
        from .trial_table import trial_table

        with Ledger.load(self._ledger(), self.search) as ledger:
            return trial_table(ledger.trials())

    @property
    def study(self) -> "OptunaStudy":
        """The Optuna study of the search, for Optuna's own plots; change nothing in it."""
        from ..ledger.ledger import optuna_study

        return optuna_study(self._ledger(), self.search)

    def located(self, locations: "Locations") -> Self:
        """Return the same result, which knows where its ledger and its champion are."""
        champion = self.champion
        if champion is not None:
            champion = replace(champion, tracking_uri=locations.tracking_uri)
        return replace(self, champion=champion, storage=locations.storage)

    def to_mapping(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del own["storage"]  # it may hold a password
        champion = None if self.champion is None else self.champion.to_mapping()
        return {"search": own.pop("search"), "trials": own.pop("counts"), **own} | {
            "champion": champion
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the result from the values of `to_mapping`, also those of earlier versions."""
        known = dict(values)
        known["counts"] = known.pop("trials")
        known["finalists"] = [_renamed(row) for row in values.get("finalists", ())]
        if known["champion"] is not None:
            known["champion"] = Champion(**known["champion"])
        return cls(**known)

    def _repr_html_(self) -> str:
        """Return the result as a notebook shows it."""
        from .result_facts import facts_html, result_facts

        return facts_html(result_facts(self))

    def _ledger(self) -> str:
        from .locations import Locations

        return self.storage or Locations().storage


def _renamed(finalist: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finalist in today's words: the chosen replica was once called the best one."""
    return {{"best": "chosen"}.get(key, key): value for key, value in finalist.items()}
