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

    Attributes
    ----------
    name, version
        Those of the registered model.
    uri
        What `tuner.load` and MLflow load it by.
    promoted
        Whether it is now the champion of its name.
    score
        Its objective on the test split.
    interval
        The 95 % interval of the score, empty where the test split is too small for one.
    n_components
        Its number of clusters K.
    trial
        The number of its trial.
    confidence
        The share of random halves of the test points in which it scores at least as high as the
        runner-up, None where that was not tested.
    tracking_uri
        The MLflow that has it.

    Examples
    --------
    >>> result.champion.uri
    'models:/data@champion'
    >>> result.champion.load().predict(x[:3]).shape
    (3,)
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
    """The outcome of a search, which a notebook shows as a table.

    Attributes
    ----------
    search
        The name of the search.
    counts
        The number of trials, in all and by state.
    best
        The best trial: number, method, params, score and its sd over the replicas.
    champion
        The registered version, None where the data show no clusters and nothing was registered.
    audit
        How well the choice without labels did, None without labels.
    seconds
        How long the search took.
    tracking_uri
        The MLflow that has its runs and models.
    finalists
        The best configurations with mean and sd over fresh seeds.
    baselines
        The scores of k-means and Louvain on the same graph.
    structure
        The test for clusters.
    components
        The score by number of clusters, the number chosen, and those that are plausible.
    notes
        What else is to be known of the choice.
    pending
        Why the champion is not registered yet, None once that is settled.
    stopped
        Why the search ended before the `asked` trials, None where it ran them all.
    asked
        How many trials were asked for.

    Examples
    --------
    After the example of `tuner.search`:

    >>> result
    Result('blobs', trials=5, best=..., champion='models:/data@champion')
    >>> result.trials()[["number", "state", "method"]].head(2)
       number     state method
    0       0  COMPLETE    gmm
    1       1  COMPLETE    gmm
    >>> len(result.study.trials)  # an Optuna study
    5
    >>> clusterer = result.champion.load()
    >>> clusterer.predict(x).shape
    (200,)
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

    def __repr__(self) -> str:
        champion = "None" if self.champion is None else repr(self.champion.uri)
        return (
            f"Result({self.search!r}, trials={self.counts['total']}, "
            f"best={self.best['score']:.3f}, champion={champion})"
        )

    def __str__(self) -> str:
        from .result_facts import facts_text, result_facts

        return facts_text(result_facts(self))

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
