import numpy as np
import pandas as pd
import pytest

from tuner.data import Preparation, load
from tuner.data.formats.header import has_header

BODY = [["0.5", "1.25", "3.5"], ["0.25", "2.5", "1.75"]] * 9
WHOLE = [["1", "0", "2"], ["2", "1", "0"]] * 9


@pytest.mark.parametrize(
    ("first", "body", "named", "warning"),
    [
        (["a", "b", "c"], BODY, True, ""),
        (["a", "1", "2"], BODY, True, ""),
        (["", "a", "b"], BODY, True, ""),
        (["0.4", "1.5", "2.25"], BODY, False, ""),
        (["", "1.5", "2.25"], BODY, False, ""),
        (["NA", "1.5", "2.75"], BODY, False, ""),
        (["0", "1", "2"], BODY, True, "--no-header"),
        (["", "0", "1"], BODY, True, "--no-header"),
        (["0", "1", "2"], WHOLE, True, "--no-header"),
        (["1990", "1995", "2000"], BODY, False, "--header"),
        (["400.5", "401.5", "402.5"], BODY, False, "--header"),
        (["1990", "1994", "2000"], BODY, False, "--header"),
        (["30", "20", "10"], WHOLE, False, "--header"),
        (["2", "1", "0"], WHOLE, False, ""),
        (["1", "1", "1"], WHOLE, False, ""),
    ],
)
def test_a_first_row_holds_names_unless_it_is_made_of_numbers(first, body, named, warning):
    found, doubts = has_header([first, *body], None)
    assert found is named
    assert [warning in text for text in doubts] == [True] * bool(warning)
    for wanted in (True, False):
        assert has_header([first, *body], wanted) == (wanted, ())


def test_two_numbers_count_the_columns_if_the_others_are_fractions():
    assert has_header([["0", "1"], ["0.5", "1.5"], ["2.5", "3.5"]], None)[0]
    assert not has_header([["0", "1"], ["1", "1"], ["0", "0"]], None)[0]


def test_quotes_hide_separators(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"a;b","c"\n' + "".join(f"{i},{i * i % 7}\n" for i in range(20)))
    assert load(str(path)).preprocessor.encoder.names == ("a;b", "c")


def test_spaces_around_names_need_not_be_typed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x, y, z\n" + "".join(f"{i % 5}, {i * i % 7}, {i % 3}\n" for i in range(20)))
    for name in ("y", " y"):
        data = load(str(path), preparation=Preparation(drop=(name,)))
        assert data.preprocessor.encoder.names == ("x", " z")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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
