"""The results of a run on a GPU as text of at most 100 columns."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from tests.benchmarks._gpu_results import Facts

WIDTH = 100
_COLUMNS = ("case", "R", "eager ms", "recorded ms", "faster", "x R=1", "x limit", "peak GiB")
_ROW = "{:<36.36} {:>3} {:>10} {:>12} {:>8} {:>7} {:>8} {:>9}"

_MODES = ("recorded", "called")

Cases = Mapping[str, Facts]


def text(document: Facts) -> str:
    """Return what was checked and found, how many cases failed, and the table, which is last."""
    lines = (fill(line, WIDTH, subsequent_indent="    ") for line in _summary(document))
    return "\n".join(["", *lines, "", *table(document["table"])])


def table(found: Sequence[Facts]) -> list[str]:
    """Return the lines of a table of `rows`."""
    head = _ROW.format(*_COLUMNS).rstrip()
    lines = [head, "-" * len(head)]
    for row in found:
        lines.append(_ROW.format(row["case"], row["replicas"], *_cells(row)).rstrip())
        lines += [f"  {mode} failed: {why}"[:WIDTH] for mode, why in row["failed"].items()]
    return lines


def rows(cases: Cases) -> list[Facts]:
    """Return the times of all steps, one row per case, stage and number of replicas."""
    runs: dict[tuple[str, str], set[int]] = {}
    for parts in (key.split("/") for key in cases):
        if parts[0] in ("steps", "methods") and len(parts) == 4:
            runs.setdefault((parts[0], parts[1]), set()).add(int(parts[2]))
    return [
        row
        for (part, name), counts in runs.items()
        for replicas in sorted(counts)
        for row in _rows_of(cases, f"{part}/{name}", sorted(counts), replicas)
    ]


def _rows_of(cases: Cases, start: str, counts: Sequence[int], n: int) -> list[Facts]:
    """Return the rows of one case with n replicas; `counts` are all its numbers of replicas."""
    name = start.partition("/")[2]
    recorded, called = (cases.get(f"{start}/{n}/{mode}", {}) for mode in _MODES)
    everywhere = [cases.get(f"{start}/{m}/{mode}", {}) for m in counts for mode in _MODES]
    stages = list(
        dict.fromkeys(stage for found in everywhere for stage in found.get("stages", {}))
    )
    own = [s for s in stages if any(s in found.get("stages", {}) for found in (recorded, called))]
    found = [
        {
            "case": f"{name} {stage}" if len(stages) > 1 and stage else name,
            "replicas": n,
            "eager_ms": _ms(called, stage),
            "recorded_ms": _ms(recorded, stage),
            "faster": _ratio(_ms(called, stage), _ms(recorded, stage)),
            "price": _price(cases, start, n, stage),
            "limits": _limits(recorded, called, stage),
            "peak_gib": recorded.get("allocated_gib"),
            "failed": {},
        }
        for stage in own or [""]
    ]
    found[-1]["failed"] = {
        mode: one["failed"]
        for mode, one in zip(_MODES, (recorded, called), strict=True)
        if "failed" in one
    }
    return found


def _cells(row: Facts) -> list[str]:
    absent = {mode: "failed" if mode in row["failed"] else "-" for mode in _MODES}
    return [
        _number(row["eager_ms"], ".3f", absent["called"]),
        _number(row["recorded_ms"], ".3f", absent["recorded"]),
        _number(row["faster"], ".1f"),
        _number(row["price"], ".2f"),
        _number(row["limits"], ".1f"),
        _number(row["peak_gib"], ".2f"),
    ]


def _summary(document: Facts) -> list[str]:
    """Return the lines before the table."""
    cases: Cases = document["cases"]
    failed = sum("failed" in found for found in cases.values())
    return [
        f"{document.get('device', 'no device')}, torch {document.get('torch', 'unknown')}, "
        f"data: {document.get('data', 'not read')}",
        *_rates(cases),
        *_exactness(cases),
        *_conformance(cases, document["planned"].get("conformance", 0)),
        *_sharing(cases),
        *_kernels(cases),
        *_beginnings(cases),
        *_unreached(document),
        f"{failed} of {len(cases)} cases failed",
    ]


def _ms(found: Facts, stage: str) -> float | None:
    value: float | None = found.get("stages", {}).get(stage, {}).get("ms")
    return value


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _price(cases: Cases, start: str, n: int, stage: str) -> float | None:
    """Return the time of a step as a multiple of that of one replica, in the same way."""
    for mode in _MODES:
        own, one = (cases.get(f"{start}/{m}/{mode}", {}) for m in (n, 1))
        if (price := _ratio(_ms(own, stage), _ms(one, stage))) is not None:
            return price
    return None


def _limits(recorded: Facts, called: Facts, stage: str) -> float | None:
    """Return the time of a step, recorded where steps are, as a multiple of its limit."""
    limit = called.get("stages", {}).get(stage, {}).get("limit_ms")
    return _ratio(_ms(recorded or called, stage), limit)


def _number(value: float | None, form: str, absent: str = "-") -> str:
    return absent if value is None else format(float(value), form)


def _part(cases: Cases, part: str) -> dict[str, Facts]:
    """Return the cases of a part by the rest of their keys."""
    start = f"{part}/"
    return {key.removeprefix(start): f for key, f in cases.items() if key.startswith(start)}


def _rates(cases: Cases) -> Iterator[str]:
    found = cases.get("steps/rates", {})
    if "product" in found:
        product, copy = found["product"] / 1e12, found["copy"] / 1e9
        yield f"rates for the limit: {product:.1f} TFLOP/s of products, {copy:.0f} GB/s of copies"


def _exactness(cases: Cases) -> Iterator[str]:
    found = _part(cases, "exactness")
    exact = [key for key, one in found.items() if one.get("text") == "exact"]
    if found:
        yield f"exactness: {len(exact)} of {len(found)} exact: {', '.join(exact)}"
    for key, one in found.items():
        if key not in exact:
            yield f"  {key}: {_failed(one) or one['text']}"


def _conformance(cases: Cases, planned: int) -> Iterator[str]:
    found = _part(cases, "conformance")
    failed = {key: one for key, one in found.items() if "failed" in one}
    if planned:
        yield (
            f"conformance: {len(found) - len(failed)} of {planned} checks passed, "
            f"{len(failed)} failed, {max(0, planned - len(found))} not reached"
        )
    for key, one in failed.items():
        check, _, subject = key.partition("/")
        yield f"  {subject} {check}: {one['failed']}"


def _sharing(cases: Cases) -> Iterator[str]:
    for key, found in _part(cases, "sharing").items():
        yield f"sharing {key}: {_failed(found) or _rate(found)}"


def _rate(found: Facts) -> str:
    if "per_hour" in found:
        return f"{found['per_hour']:.0f} trials/hour"
    return f"{found['per_second']:.0f} steps/s of all replicas together"


def _kernels(cases: Cases) -> Iterator[str]:
    for key, found in _part(cases, "kernels").items():
        if text := _failed(found):
            yield f"kernels {key}: {text}"
        elif "kernels" in found:
            yield f"kernels {key}: {found['kernels']:.0f} a step, {found['ms']:.3f} ms"
            yield from (f"  {share:4.0%} {name}" for name, share in found["top"].items())
        else:
            yield f"kernels {key}: {found['ms']:.4f} ms"


def _beginnings(cases: Cases) -> Iterator[str]:
    """Say what could not even begin."""
    for key, found in cases.items():
        if "failed" in found and (key in ("start", "steps/rates") or key.endswith("/plan")):
            yield f"{key}: {_failed(found)}"


def _unreached(document: Facts) -> Iterator[str]:
    cases: Cases = document["cases"]
    missing = {
        part: planned - len(_part(cases, part))
        for part, planned in document["planned"].items()
        if planned > len(_part(cases, part))
    }
    never = [part for part in document.get("parts", ()) if part not in document["planned"]]
    texts = [f"{n} of {part}" for part, n in missing.items()] + [f"all of {p}" for p in never]
    if texts:
        yield f"not reached in time: {', '.join(texts)}"
    if running := document["running"]:
        yield f"stopped in {running}"


def _failed(found: Facts) -> str:
    reason: Any = found.get("failed")
    return f"failed: {reason}" if reason else ""
