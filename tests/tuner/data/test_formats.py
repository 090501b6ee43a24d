"""The same data in every format and type become the same scaled array, to the last bit."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from pyarrow import feather

from tests.tuner.data.refusals import refusal
from tuner.data import Preparation, load
from tuner.errors import UsageError

KINDS = ("u1", "i2", "i8", "f4", "f8")
ENDINGS = ("csv", "parquet", "feather", "npy", "npz", "sparse.npz", "h5ad", "frame")


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    table = rng.poisson(rng.gamma(2.0, 4.0, 12), (120, 12))
    table[:, 5] = 7  # constant
    return table


def given(x, folder, ending):
    """Return the data in a form that `load` takes."""
    frame = pd.DataFrame(x, columns=[f"g{i}" for i in range(x.shape[1])])
    path = folder / f"t.{ending}"
    if ending == "frame":
        return frame
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        frame.to_parquet(path)
    elif ending == "feather":
        feather.write_feather(pa.Table.from_pandas(frame), str(path))
    elif ending == "npy":
        np.save(path, x)
    elif ending == "npz":
        np.savez(path, x=x)
    elif ending == "sparse.npz":
        scipy.sparse.save_npz(path, scipy.sparse.csr_matrix(x))
    else:
        write_h5ad(path, x, list(frame.columns))
    return str(path)


def write_h5ad(path, x, names, *, sparse=True, layers=None, obs=None):
    anndata = pytest.importorskip("anndata")
    matrix = scipy.sparse.csr_matrix(x) if sparse else x
    obs = pd.DataFrame({} if obs is None else obs, index=[f"cell {i}" for i in range(len(x))])
    data = anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=names), layers=layers)
    data.write_h5ad(path)


@pytest.mark.parametrize("scale", ["auto", "log1p", "robust"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_formats_and_types_agree(tmp_path, x, ending, scale):
    preparation = Preparation(scale=scale)
    expected = load(x.astype(np.float64), preparation=preparation)
    named = load(given(x, tmp_path, "frame"), preparation=preparation)
    assert expected.shape == (11,)
    for kind in KINDS:
        data = load(given(x.astype(kind), tmp_path, ending), preparation=preparation)
        assert np.array_equal(data.train, expected.train), kind
        assert np.array_equal(data.test, expected.test), kind
        same = named if data.preprocessor.encoder.names else expected
        assert data.fingerprint == same.fingerprint, kind


@pytest.mark.parametrize("sparse", [True, False])
def test_an_anndata_file_has_names_layers_and_labels(tmp_path, x, sparse):
    path = tmp_path / "cells.h5ad"
    names = [f"gene {i}" for i in range(12)]
    write_h5ad(
        path,
        np.log1p(x),
        names,
        sparse=sparse,
        layers={"counts": scipy.sparse.csr_matrix(x) if sparse else x},
        obs={"kind": ["u", "v", "w"] * 40},
    )
    data = load(str(path), labels="kind", preparation=Preparation(layer="counts"))
    assert data.preprocessor.encoder.names == (*names[:5], *names[6:])
    assert data.label_names == ("u", "v", "w")
    assert np.array_equal(data.train, load(x).train)
    assert np.array_equal(load(str(path)).train, load(np.log1p(x)).train)


def test_what_an_anndata_file_lacks_is_told(tmp_path, x):
    path = tmp_path / "cells.h5ad"
    write_h5ad(path, x, [str(i) for i in range(12)], layers={"counts": x}, obs={"kind": [1] * 120})
    assert "no column 'kinds' for labels; did you mean 'kind'?" in refusal(path, labels="kinds")
    sentence = refusal(path, layer="count")
    assert "--layer count: " in sentence
    assert "did you mean 'counts'?" in sentence
    path.write_bytes(path.read_bytes()[:500])
    assert "damaged" in refusal(path)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_variables_of_one_name_are_refused(tmp_path, x):
    write_h5ad(tmp_path / "cells.h5ad", x[:, :3], ["g", "g", "h"])
    assert "has several columns 'g'" in refusal(tmp_path / "cells.h5ad")


def test_an_anndata_file_without_x_needs_a_layer(tmp_path, x):
    anndata = pytest.importorskip("anndata")
    data = anndata.AnnData(None, shape=x.shape, layers={"raw": x})
    data.write_h5ad(tmp_path / "cells.h5ad")
    assert "has no X: name one of its layers with --layer" in refusal(tmp_path / "cells.h5ad")
    layer = Preparation(layer="raw")
    assert load(str(tmp_path / "cells.h5ad"), preparation=layer).shape == (11,)


@pytest.mark.parametrize(
    ("given", "flag"), [({"layer": "x"}, "--layer"), ({"header": True}, "--header")]
)
def test_what_is_meant_for_other_formats_is_refused(tmp_path, x, given, flag):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(UsageError, match=f"{flag}.*leave it out"):
        load(str(tmp_path / "x.npy"), preparation=Preparation(**given))


def test_a_spreadsheet_is_refused_with_the_command_that_converts_it(tmp_path):
    (tmp_path / "my table.xlsx").write_bytes(b"PK")
    sentence = refusal(tmp_path / "my table.xlsx")
    assert "is a spreadsheet" in sentence
    assert "pandas.read_excel(" in sentence
    assert "my table.csv" in sentence


def test_bits_of_text_are_read_exactly(tmp_path):
    x = np.random.default_rng(0).normal(size=(2000, 3)) * [1e-9, 1, 1e9]
    pd.DataFrame(x, columns=list("abc")).to_csv(tmp_path / "t.csv", index=False)
    assert np.array_equal(load(str(tmp_path / "t.csv")).train, load(x).train)
