"""The score by number of clusters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from .figures import SMALL_FONT, colour, single_axes


def components(found: Mapping[str, Any]) -> Figure:
    """Draw the best score of every number of clusters, the plausible range and the chosen number.

    `found` has `scores`, each with `n_components`, `score` and `sd` over replicas, and `plausible`
    and `chosen`.
    """
    figure, axes = single_axes(6.0, 3.6)
    k, score, sd = (
        np.array([row[name] for row in found["scores"]])
        for name in ("n_components", "score", "sd")
    )
    low, high = found["plausible"]
    axes.axvspan(low * 0.97, high * 1.03, color="0.9", label="within one standard error")
    axes.errorbar(k, score, yerr=sd, fmt="o-", color=colour(0), markersize=4, capsize=2)
    axes.axvline(found["chosen"], color=colour(1), linestyle="--", label="champion")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set_xlabel("n_components", fontsize=9)
    axes.set_ylabel("best score, ± sd over replicas", fontsize=9)
    axes.tick_params(labelsize=SMALL_FONT)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SMALL_FONT)
    return figure
