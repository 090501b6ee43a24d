"""Tables that look like small public ones: their columns, sizes and shapes, drawn anew.

Means, spreads and shares follow the published summaries; no row is taken from them.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

Labels = str | None


def penguins(seed: int = 0) -> tuple[pd.DataFrame, Labels]:
    """Return 344 penguins of three species, with gaps, an identifier, islands and years."""
    rng, n = np.random.default_rng(seed), 344
    species = rng.choice(["Adelie", "Chinstrap", "Gentoo"], n, p=[0.442, 0.198, 0.36])
    means = {
        "Adelie": (38.8, 18.35, 190, 3701),
        "Chinstrap": (48.8, 18.42, 195.8, 3733),
        "Gentoo": (47.5, 14.98, 217.2, 5076),
    }
    spread = np.array([2.9, 1.1, 6.5, 450.0])
    common = np.array(
        [[1, 0.4, 0.4, 0.6], [0.4, 1, 0.4, 0.6], [0.4, 0.4, 1, 0.5], [0.6, 0.6, 0.5, 1]]
    )
    sex = rng.choice(["female", "male"], n)
    x = (
        np.array([means[one] for one in species])
        + rng.multivariate_normal(np.zeros(4), common, n) * spread * 0.8
        + np.where(sex == "male", 0.5, -0.5)[:, None] * spread
    )
    homes = {
        "Adelie": ["Biscoe", "Dream", "Torgersen"],
        "Chinstrap": ["Dream"],
        "Gentoo": ["Biscoe"],
    }
    frame = pd.DataFrame(
        {
            "rowid": np.arange(1, n + 1),
            "species": species,
            "island": [rng.choice(homes[one]) for one in species],
            "bill_length_mm": x[:, 0].round(1),
            "bill_depth_mm": x[:, 1].round(1),
            "flipper_length_mm": x[:, 2].round(),
            "body_mass_g": (x[:, 3] / 25).round() * 25,
            "sex": sex,
            "year": rng.choice([2007, 2008, 2009], n),
        }
    )
    frame.loc[[3, 271], "bill_length_mm":"body_mass_g"] = np.nan
    frame.loc[rng.choice(n, 11, replace=False), "sex"] = None
    return frame, "species"


def iris(seed: int = 0) -> tuple[pd.DataFrame, Labels]:
    """Return 150 flowers of three species, two of which overlap."""
    rng = np.random.default_rng(seed)
    means = [(5.01, 3.43, 1.46, 0.25), (5.94, 2.77, 4.26, 1.33), (6.59, 2.97, 5.55, 2.03)]
    spreads = [(0.35, 0.38, 0.17, 0.1), (0.52, 0.31, 0.47, 0.2), (0.64, 0.32, 0.55, 0.27)]
    common = 0.55 * np.ones((4, 4)) + 0.45 * np.eye(4)
    x = np.concatenate(
        [
            rng.multivariate_normal(np.zeros(4), common, 50) * spread + mean
            for mean, spread in zip(means, spreads, strict=True)
        ]
    )
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    frame = pd.DataFrame(np.maximum(x, 0.1).round(1), columns=names)
    return frame.assign(species=np.repeat(["setosa", "versicolor", "virginica"], 50)), "species"


def wine(seed: int = 0) -> tuple[pd.DataFrame, Labels]:
    """Return 178 wines of three cultivars with thirteen measurements in different units."""
    rng = np.random.default_rng(seed)
    sizes = (59, 71, 48)
    means = np.array(
        [
            [13.7, 2.01, 2.46, 17.0, 106, 2.84, 2.98, 0.29, 1.90, 5.5, 1.06, 3.16, 1116],
            [12.3, 1.93, 2.24, 20.2, 94, 2.26, 2.08, 0.36, 1.63, 3.1, 1.06, 2.79, 520],
            [13.2, 3.33, 2.44, 21.4, 99, 1.68, 0.78, 0.45, 1.15, 7.4, 0.68, 1.68, 630],
        ]
    )
    spread = np.array([0.5, 0.9, 0.25, 2.9, 13, 0.42, 0.45, 0.1, 0.48, 1.5, 0.15, 0.38, 150])
    x = np.concatenate(
        [rng.normal(mean, spread, (n, 13)) for mean, n in zip(means, sizes, strict=True)]
    )
    names = [
        *("alcohol", "malic_acid", "ash", "alcalinity", "magnesium", "phenols", "flavanoids"),
        "nonflavanoids",
    ]
    names += ["proanthocyanins", "colour", "hue", "od280", "proline"]
    frame = pd.DataFrame(np.abs(x).round(2), columns=names)
    frame["proline"] = frame["proline"].round().astype(int)
    frame.insert(0, "class", np.repeat([1, 2, 3], sizes))
    return frame, "class"


def customers(seed: int = 0) -> tuple[pd.DataFrame, Labels]:
    """Return 200 customers of a mall, with an identifier, in groups of income and spending."""
    rng = np.random.default_rng(seed)
    group = rng.choice(5, 200, p=[0.4, 0.2, 0.18, 0.11, 0.11])
    means = np.array([[55, 50], [87, 82], [88, 17], [25, 79], [26, 21]])
    money = np.array([means[g] for g in group]) + rng.normal(0, [8, 7], (200, 2))
    age = np.clip(rng.normal([43, 33, 41, 25, 45], [16, 4, 11, 5, 13], (200, 5)), 18, 70)
    frame = pd.DataFrame(
        {
            "CustomerID": np.arange(1, 201),
            "Gender": rng.choice(["Female", "Male"], 200, p=[0.56, 0.44]),
            "Age": age[np.arange(200), group].round().astype(int),
            "Annual Income (k$)": np.clip(money[:, 0], 15, 137).round().astype(int),
            "Spending Score (1-100)": np.clip(money[:, 1], 1, 99).round().astype(int),
            "group": group,
        }
    )
    return frame, "group"


def wholesale(seed: int = 0) -> tuple[pd.DataFrame, Labels]:
    """Return 440 wholesale customers of two channels: coded columns and skewed spendings."""
    rng = np.random.default_rng(seed)
    channel = rng.choice([1, 2], 440, p=[0.677, 0.323])
    means = np.array([[9.0, 7.7, 7.8, 7.4, 5.9, 6.4], [8.6, 9.1, 9.5, 6.9, 8.6, 7.0]])
    spread = np.array([[1.3, 1.0, 0.8, 1.2, 1.1, 1.2], [1.4, 0.7, 0.6, 1.3, 0.8, 1.2]])
    x = np.exp(rng.normal(means[channel - 1], spread[channel - 1])).round().astype(int)
    names = ["Fresh", "Milk", "Grocery", "Frozen", "Detergents_Paper", "Delicassen"]
    frame = pd.DataFrame(x, columns=names)
    frame.insert(0, "Region", rng.choice([1, 2, 3], 440, p=[0.175, 0.107, 0.718]))
    frame.insert(0, "Channel", channel)
    return frame, "Channel"


TABLES: dict[str, Callable[[int], tuple[pd.DataFrame, Labels]]] = {
    "penguins": penguins,
    "iris": iris,
    "wine": wine,
    "customers": customers,
    "wholesale": wholesale,
}
