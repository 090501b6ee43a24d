import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from tuner.data import Preparation, load
from tuner.errors import DataError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def frame(rng):
    return pd.DataFrame(rng.normal(10, 2, (300, 3)), columns=["a", "b", "c"])


def warnings(frame, **given):
    return load(frame, preparation=Preparation(**given)).warnings


def test_measurements_are_not_suspected(frame, rng):
    frame["income"] = rng.lognormal(10, 1, 300).round(2)
    frame["rooms"] = rng.integers(1, 8, 300)
    frame["age"] = rng.integers(18, 90, 300)
    frame["idle"] = rng.gamma(2, 3, 300)
    frame["rare"] = (rng.random(300) < 0.01).astype(int)
    assert warnings(frame) == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("customer_id", lambda rng: rng.permutation(300) * 7 + 1000),
        ("CustomerID", lambda rng: np.arange(300)[::-1]),
        ("Unnamed: 0", lambda rng: np.arange(300)),
        ("rowid", lambda rng: np.arange(1, 301)),
        ("anything", lambda rng: np.arange(300)),
    ],
)
def test_an_identifier_is_named_with_the_flag(frame, rng, name, values):
    frame[name] = values(rng)
    (warning,) = warnings(frame)
    assert f"column {name!r} looks like an identifier" in warning
    assert "--drop" in warning
    assert warnings(frame, drop=(name,)) == ()


@pytest.mark.parametrize("name", ["label", "Target", "class", "species", "cultivar"])
@pytest.mark.parametrize("values", [[0, 1, 2], ["x", "y", "z"]])
def test_labels_are_named_with_the_flag(frame, name, values):
    frame[name] = np.array(values)[np.arange(300) % 3]
    (warning,) = warnings(frame)
    assert f"column {name!r} looks like labels (3 different values)" in warning
    assert f"--labels {name}" in warning
    assert load(frame, labels=name).warnings == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("year", lambda rng: rng.integers(1990, 2024, 300)),
        ("order_date", lambda rng: rng.integers(20200101, 20201231, 300)),
        ("timestamp", lambda rng: rng.integers(1_600_000_000, 1_700_000_000, 300)),
    ],
)
def test_a_date_used_as_a_number_is_named(frame, rng, name, values):
    frame[name] = values(rng)
    (warning,) = warnings(frame)
    assert f"column {name!r} looks like a date" in warning
    assert f"--drop {name}" in warning


def test_a_value_that_may_mean_missing_is_named_with_its_share(frame):
    frame.loc[::33, ["a", "b"]] = -999
    (warning,) = warnings(frame)
    assert "columns 'a', 'b' have the value -999 in 3.3 % of the rows" in warning
    assert "--missing-value=-999 --missing mean" in warning
    assert warnings(frame, missing_values=(-999,), missing="mean") == ()


def test_a_few_wild_values_are_named(frame):
    frame.loc[[3, 99, 201], "b"] = [1e6, 1e6 + 1, 2e6]
    (warning,) = warnings(frame)
    assert "column 'b' has 3 values more than 20 standard deviations from the others" in warning
    assert "such as 2e+06" in warning
    assert "--scale robust" in warning
    assert warnings(frame, scale="robust") == ()


def test_strict_refuses_what_is_suspected(frame):
    frame["id"] = np.arange(300)
    with pytest.raises(DataError, match="as --strict asks: column 'id' looks like an identifier"):
        warnings(frame, strict=True)
    frame["id"] = 1
    assert warnings(frame, strict=True) == ()  # a column of one value is only left out


def test_a_first_row_of_numbers_is_told(tmp_path, rng):
    path = tmp_path / "t.csv"
    x = rng.normal(size=(50, 4)).round(3)
    pd.DataFrame(x).to_csv(path, index=False)  # names 0, 1, 2, 3
    data = load(str(path))
    assert len(data.train) + len(data.test) == 50
    assert "counts the columns and is read as their names: use --no-header" in data.warnings[0]
    assert np.array_equal(load(x).train, data.train)
    pd.DataFrame(x, columns=[2001, 2002, 2003, 2004]).to_csv(path, index=False)
    data = load(str(path))
    assert len(data.train) + len(data.test) == 51
    assert "is read as a point: use --header" in data.warnings[0]
    named = load(str(path), preparation=Preparation(header=True))
    assert np.array_equal(named.train, load(x).train)
    assert named.preprocessor.encoder.names == ("2001", "2002", "2003", "2004")
    assert named.warnings == ()


@pytest.fixture
def cells(rng):
    """Return counts of 200 genes in 800 cells of 5 types, whose depth varies, and the types."""
    types = rng.integers(0, 5, 800)
    effects = rng.normal(0, 1.5, (5, 200)) * (rng.random((5, 200)) < 0.3)
    rates = rng.gamma(2.0, 1.0, 200) * np.exp(effects)
    depth = rng.lognormal(0, 0.8, (800, 1))
    return rng.poisson(rates[types] * depth), types


def test_counts_are_recognised_and_compared_at_equal_totals(cells):
    x, types = cells
    (warning,) = load(x).warnings
    assert "200 columns look like counts" in warning
    assert "--scale log1p" in warning
    agreement = {
        scale: adjusted_rand_score(
            types,
            KMeans(5, n_init=10, random_state=0).fit_predict(
                load(x, preparation=Preparation(scale=scale)).preprocessor.apply(x)
            ),
        )
        for scale in ("standard", "log1p")
    }
    assert agreement["log1p"] > 0.9 > 0.6 > agreement["standard"]
    assert load(x, preparation=Preparation(scale="log1p")).warnings == ()


def test_the_pixels_of_flat_images_are_recognised():
    from sklearn.datasets import load_digits

    x = load_digits().data
    (warning,) = load(x.astype(np.uint8)).warnings
    assert "columns share the range 0 to 16 like the pixels of an image" in warning
    assert load(x, preparation=Preparation(scale="range")).warnings == ()
    assert load(x.reshape(-1, 8, 8)).warnings == ()
