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
        ("Unnamed: 0.1", lambda rng: np.arange(5, 305)),
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


@pytest.mark.parametrize("share", [0.01, 0.14, 0.2, 0.45, 0.6])
@pytest.mark.parametrize("mark", [-999, -1234567, 99999])
def test_a_mark_is_seen_at_any_share_and_told_exactly(frame, rng, share, mark):
    x = frame.mask(rng.random(frame.shape) < share, mark)
    (warning,) = warnings(x)
    assert "columns 'a', 'b', 'c' have the value" in warning
    assert f"--missing-value={mark} --missing mean" in warning
    assert warnings(x, missing_values=(str(mark),), missing="mean") == ()


@pytest.mark.parametrize("mark", [-999.25, -99.99, 9999.9])
def test_a_mark_need_not_be_whole(frame, rng, mark):
    x = frame.mask(rng.random(frame.shape) < 0.05, mark)
    assert f"--missing-value={mark} " in warnings(x)[0]


def test_a_mark_among_pixels_is_seen(rng):
    x = rng.random((400, 64)).round(2)
    x[:, :40] = np.where(rng.random((400, 40)) < 0.1, 1, x[:, :40])
    x[rng.random(x.shape) < 0.02] = -999
    assert any("--missing-value=-999 " in warning for warning in load(x).warnings)


def test_a_value_that_means_missing_but_is_nowhere_is_told(frame):
    given = {"missing_values": (-999, "?"), "missing": "mean"}
    first, second = warnings(frame, **given)
    assert first.startswith("no cell holds -999, which --missing-value names")
    assert second.startswith("no cell holds ?")
    frame.loc[3, "a"] = -999
    assert [text[:20] for text in warnings(frame, **given)] == ["no cell holds ?, whi"]


@pytest.mark.parametrize("name", ["paid", "acid", "humid", "grid", "piano", "NO", "valid"])
def test_words_that_end_like_identifiers_are_none(frame, rng, name):
    frame[name] = rng.permutation(300) * 3
    assert warnings(frame) == ()


def test_coordinates_are_no_labels(rng):
    x, y = np.meshgrid(np.arange(20), np.arange(20))
    frame = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "depth": rng.normal(size=400)})
    assert warnings(frame) == ()


@pytest.mark.parametrize("name", ["true_label", "target_class", "Class Label", "target_names"])
def test_labels_by_other_names(frame, name):
    frame[name] = np.arange(300) % 4
    assert "looks like labels" in warnings(frame)[0]


def test_boolean_labels_and_a_second_column_of_them(frame, rng):
    frame["target"] = rng.random(300) < 0.5
    assert "looks like labels (2 different values)" in warnings(frame)[0]
    frame["class"] = np.arange(300) % 40
    (warning,) = load(frame, labels="target").warnings
    assert "column 'class' looks like labels (40 different values)" in warning


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("YearBuilt", 1900, 2010),
        ("YrSold", 2006, 2011),
        ("birthYear", 1950, 2000),
        ("Date", 201801, 201812),
        ("epoch", 1_600_000_000, 1_700_000_000),
        ("ts", 1.6e18, 1.7e18),
    ],
)
def test_dates_by_other_names(frame, rng, name, low, high):
    frame[name] = rng.uniform(low, high, 300).round()
    assert f"column {name!r} looks like a date" in warnings(frame)[0]


def test_an_identifier_may_have_gaps_and_repeat(frame, rng):
    frame["customer_id"] = rng.integers(0, 100, 300).astype(float)
    frame.loc[5, "customer_id"] = np.nan
    assert "column 'customer_id' looks like an identifier" in warnings(frame, missing="mean")[0]


def test_many_zeros_are_no_mark(frame, rng):
    frame["a"] = np.where(rng.random(300) < 0.3, 0, rng.normal(100, 5, 300))
    assert warnings(frame) == ()


def test_rates_are_no_dates(frame, rng):
    frame["price_per_day"] = rng.integers(1800, 2100, 300)
    assert warnings(frame) == ()


@pytest.mark.parametrize("levels", [2, 5, 10])
def test_answers_on_a_scale_are_no_pixels(rng, levels):
    assert load(rng.integers(1, 1 + levels, (300, 100))).warnings == ()


def test_a_value_that_occurs_once_is_not_called_missing(rng):
    x = rng.normal(size=(1000, 2))
    x[3, 0] = 500.123
    (warning,) = load(x).warnings
    assert "use --scale robust" in warning
    assert "--missing-value" not in warning


@pytest.mark.parametrize("name", ["load_iris", "load_wine", "load_breast_cancer", "load_diabetes"])
def test_no_false_alarm_on_ordinary_data(name):
    from sklearn import datasets

    assert load(getattr(datasets, name)(as_frame=True).data).warnings == ()


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
    frame = pd.DataFrame(x, columns=[f"pixel{i}" for i in range(64)])
    first, second = load(frame.assign(target=load_digits().target)).warnings
    assert "column 'target' looks like labels" in first
    assert "like the pixels of an image" in second
