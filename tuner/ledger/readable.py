"""Attributes of searches and trials in short words and numbers, from those of the ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from ..study.record import upgraded
from ..study.study import replicas_text
from .labels import K, trial_labels
from .records import trial_record
from .storage import RECORD

_NUMBERS = {
    "standard deviation": "sd",
    "epochs": "epoch",
    "seconds": "seconds",
    "device": "device",
    "version": "code_version",
}


def readable_search(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return what a search is and what it has found."""
    record = upgraded(attributes[RECORD])
    study, result = record["study"], attributes.get("result")
    words = {
        "data": _data(record),
        "methods": ", ".join(study["methods"]),
        "result": "none yet" if result is None else _found(result),
    }
    if result is not None:
        words["best trial"] = _scored(result["best"], "number")
        champion = result.get("champion")
        words["champion"] = "none" if champion is None else _champion(champion)
    for rank, finalist in enumerate(_finalists(attributes), 1):
        words[f"finalist {rank}"] = finalist
    return words | {
        "asked for": f"{record['trials']} trials of "
        + replicas_text(study["replicas"], study.get("restarts", 1)),
        "value": f"{study['objective']}, higher is better",
        "sampler, early stopping": f"{study['sampler']}, {study['scheduler']}",
    }


def readable_trial(trial: FrozenTrial, record: Mapping[str, Any]) -> FrozenTrial:
    """Change a trial into one with short names and attributes, and return it."""
    methods = record["study"]["methods"]
    own = trial_record(trial, only_method=methods[0])
    outcome = own.outcome
    fixed = record.get("searched", {}).get(f"{own.method}.{K}")
    settings = own.params if isinstance(fixed, Mapping | None) else {K: fixed, **own.params}
    attributes: dict[str, Any] = dict(trial_labels(own.method, settings))
    if "score/clusters_in_use" in outcome.get("metrics", {}):
        attributes["clusters in use"] = outcome["metrics"]["score/clusters_in_use"]
    attributes |= {
        name: outcome[key] for name, key in _NUMBERS.items() if outcome.get(key) is not None
    }
    if outcome.get("reason"):
        attributes["reason"] = ": ".join(filter(None, (outcome["reason"], outcome.get("detail"))))
    if own.attempt:
        attributes["attempts"] = own.attempt + 1
    trial.user_attrs, trial.system_attrs = attributes, {}
    if len(methods) == 1:
        trial.params = _unprefixed(trial.params)
        trial.distributions = _unprefixed(trial.distributions)
    return trial


def _unprefixed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.rpartition(".")[2]: value for name, value in values.items()}


def _data(record: Mapping[str, Any]) -> str:
    data = record.get("data")
    if not data:
        return str(record["study"]["dataset"])
    return f"{data['name']} ({data['train']:,} + {data['test']:,} points)"


def _found(result: Mapping[str, Any]) -> str:
    counts, stopped = result["trials"], result.get("stopped")
    ended = ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
    return ended if stopped is None else f"{ended}; stopped: {stopped}"


def _scored(row: Mapping[str, Any], number: str) -> str:
    if row.get("score") is None:
        return f"trial {row[number]}, {row['method']}: {row.get('failure') or 'no clusters'}"
    return f"trial {row[number]}, {row['method']}: {row['score']:.3f} ± {row['sd']:.3f}"


def _champion(champion: Mapping[str, Any]) -> str:
    promoted = "promoted" if champion.get("promoted") else "not promoted"
    return (
        f"{champion['name']} version {champion['version']}, {promoted}: "
        f"{champion['score']:.3f} on the test split with {champion['n_components']} clusters"
    )


def _finalists(attributes: Mapping[str, Any]) -> Sequence[str]:
    result = attributes.get("result") or {}
    return [f"{_scored(row, 'trial')} on the test split" for row in result.get("finalists", [])]
