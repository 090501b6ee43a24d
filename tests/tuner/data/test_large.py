"""Files above a size are read block by block and scaled into a file that is mapped."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tuner.data.refusals import refusal
from tuner.data import Preparation, large, load
from tuner.errors import DataError, DiskError, UsageError


@pytest.fixture(autouse=True)
def small_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(large, "LARGE", 1000)
    monkeypatch.setattr("tuner.data.formats.blockwise._VALUES", 256)
    monkeypatch.setenv("TUNER_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal([0, 100, -5], [1, 30, 0.1], (500, 3)), columns=["a", "b", "c"])
    return frame.assign(one=7, wild=rng.random(500) < 0.5, kind=["u", "v"] * 250)


def is_mapped(data):
    return isinstance(data.train, np.memmap)


def ordered(data):
    """Return all scaled points, sorted."""
    x = np.concatenate([data.train, data.test]).reshape(len(data.train) + len(data.test), -1)
    return x[np.lexsort(x.T)]


def in_memory(monkeypatch, *arguments, **given):
    with monkeypatch.context() as patch:
        patch.setattr(large, "LARGE", 2**40)
        return load(*arguments, **given)


@pytest.mark.parametrize("rule", ["auto", "unit", "range", "none"])
@pytest.mark.parametrize("kind", ["u1", ">i2", "f4", "f8", "f2"])
def test_an_array_is_scaled_as_in_memory(tmp_path, monkeypatch, rule, kind):
    x = np.random.default_rng(0).integers(0, 200, (400, 5)).astype(kind)
    x[:, 3] = 9  # constant
    np.save(tmp_path / "x.npy", x)
    given = {"preparation": Preparation(scale=rule)}
    data = load(str(tmp_path / "x.npy"), **given)
    expected = in_memory(monkeypatch, str(tmp_path / "x.npy"), **given)
    assert is_mapped(data)
    assert not is_mapped(expected)
    assert data.shape == (4,)
    assert data.notes[0] == "column '3' has a single value and is left out"
    raw = np.concatenate([data.preprocessor.invert(part) for part in (data.train, data.test)])
    assert np.array_equal(np.sort(raw.round(), axis=0), np.sort(x.astype(np.float32), axis=0))
    if rule in ("range", "none"):
        assert np.array_equal(ordered(data), ordered(expected))
    elif rule == "auto":
        assert np.allclose(data.train.mean(axis=0), 0, atol=1e-6)
        assert np.allclose(data.train.std(axis=0), 1, atol=1e-6)
    assert data.description == expected.description or rule == "unit"


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (8, 8, 3)])
def test_images_have_one_range(tmp_path, monkeypatch, shape):
    x = np.random.default_rng(0).integers(0, 256, (100, *shape)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    data = load(str(tmp_path / "x.npy"))
    expected = in_memory(monkeypatch, str(tmp_path / "x.npy"))
    assert data.shape == expected.shape
    assert np.array_equal(ordered(data), ordered(expected))
    assert data.unit_interval
    assert np.array_equal(data.preprocessor.apply(x), expected.preprocessor.apply(x))


def test_a_table_keeps_names_labels_and_vectors(tmp_path, frame):
    frame["v"] = list(np.random.default_rng(1).normal(size=(500, 2)))
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=77)
    data = load(str(tmp_path / "t.parquet"), labels="kind", preparation=Preparation(drop=("c",)))
    assert is_mapped(data)
    assert data.preprocessor.encoder.names == ("a", "b", "wild", "v")
    assert data.label_names == ("u", "v")
    codes = (frame["kind"] == "v").to_numpy()
    lengths = dict(zip(frame["a"].astype(np.float32), codes, strict=True))
    raw = data.preprocessor.invert(data.train)
    known = [
        lengths[np.float32(frame["a"].iloc[(frame["a"] - a).abs().argmin()])] for a in raw["a"]
    ]
    assert np.array_equal(known, data.train_labels)
    assert len(data.train) + len(data.test) == 500
    assert 0.1 < len(data.test) / 500 < 0.3


def test_what_is_written_is_used_again_until_the_file_changes(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 5)))
    first = load(str(path))
    written = Path(first.train.filename).stat().st_mtime_ns
    assert load(str(path)).fingerprint == first.fingerprint
    assert Path(load(str(path)).train.filename).stat().st_mtime_ns == written
    robust = load(str(path), preparation=Preparation(scale="unit"))
    assert robust.fingerprint != first.fingerprint
    np.save(path, np.random.default_rng(1).normal(size=(400, 5)))
    assert load(str(path)).fingerprint != first.fingerprint


def test_another_process_maps_the_same_file(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(4000, 5)))
    data = load(str(tmp_path / "x.npy"))
    stored = pickle.dumps(data)
    assert len(stored) < 6000  # not the points
    again = pickle.loads(stored)
    assert str(again.train.filename) == str(data.train.filename)
    assert np.array_equal(again.test, data.test)
    Path(data.train.filename).rename(tmp_path / "gone.npy")
    with pytest.raises(DataError, match="set TUNER_DATA_HOME to a folder that all machines share"):
        pickle.loads(stored)


@pytest.mark.parametrize(
    "given",
    [{"scale": "robust"}, {"scale": "log1p"}, {"missing": "mean"}, {"missing_values": (-1,)}],
)
def test_what_needs_all_points_at_once_is_refused(tmp_path, given):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 5)))
    with pytest.raises(UsageError, match="needs all points at once"):
        load(str(tmp_path / "x.npy"), preparation=Preparation(**given))
    assert not (tmp_path / "home").exists()


def test_faults_deep_in_a_file_are_found_and_nothing_is_left(tmp_path, frame):
    frame.loc[430, "b"] = np.nan
    frame.drop(columns="kind").to_parquet(tmp_path / "t.parquet")
    assert "holds nan in row 430, column 'b': fill it in" in refusal(tmp_path / "t.parquet")
    infinite = np.where(np.arange(500) == 433, np.inf, 1.5)
    frame.assign(b=infinite).drop(columns="kind").to_parquet(tmp_path / "t.parquet")
    assert "holds inf in row 433, column 'b'" in refusal(tmp_path / "t.parquet")
    kinds = ["u", "v"] * 230 + [None] * 40
    frame.assign(b=1.5, kind=kinds).to_parquet(tmp_path / "t.parquet")
    sentence = refusal(tmp_path / "t.parquet", labels="kind")
    assert "has no label in row" in sentence
    assert "rows are counted from row 4" in sentence
    frame.assign(b=1.0).to_parquet(tmp_path / "text.parquet")
    sentence = refusal(tmp_path / "text.parquet")
    assert "column 'kind' of" in sentence
    assert "use --drop kind" in sentence
    np.save(tmp_path / "x.npy", np.ones((500, 3)))
    assert "are equal" in refusal(tmp_path / "x.npy")
    content = (tmp_path / "x.npy").read_bytes()
    for size in (1, 100, 200):
        (tmp_path / "x.npy").write_bytes(content[:-size])
        assert "truncated" in refusal(tmp_path / "x.npy")
    assert list((tmp_path / "home" / "mapped").iterdir()) == []


def test_strict_and_flags_hold_for_large_files_too(tmp_path, frame):
    frame["year"] = np.arange(500) % 20 + 1990
    frame.drop(columns="kind").to_parquet(tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"))
    assert "column 'year' looks like a date" in data.warnings[0]
    assert "warnings are judged by the first" in data.notes[1]
    assert "as --strict asks: column 'year'" in refusal(tmp_path / "t.parquet", strict=True)
    assert len(list((tmp_path / "home" / "mapped").iterdir())) == 1
    np.save(tmp_path / "x.npy", frame[["a", "b"]].to_numpy())
    assert "names a column of a table" in refusal(tmp_path / "x.npy", labels="a")
    with pytest.raises(UsageError, match=r"--layer: .* is no .h5ad file"):
        load(str(tmp_path / "t.parquet"), preparation=Preparation(layer="raw"))


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "scaling.npz", "dataset.json"])
@pytest.mark.parametrize("size", [0, 20, None])
def test_what_was_damaged_is_written_again(tmp_path, name, size):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 5)))
    first = load(str(tmp_path / "x.npy"))
    path, expected = Path(first.train.filename).with_name(name), np.array(first.train)
    del first
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    assert np.array_equal(load(str(tmp_path / "x.npy")).train, expected)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 5)))
    second = large._second_pass

    def changed(*arguments):
        np.save(path, np.random.default_rng(1).normal(100, 1, size=(401, 5)))
        return second(*arguments)

    monkeypatch.setattr(large, "_second_pass", changed)
    assert "was changed while it was read" in refusal(path)


def test_another_process_may_be_faster(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(400, 5)))
    replace = os.replace

    def slow(source, target):
        shutil.copytree(source, target)
        replace(source, target)

    monkeypatch.setattr("os.replace", slow)
    assert load(str(path)).shape == (5,)


def test_a_home_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 5)))
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUNER_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(DiskError, match="set TUNER_DATA_HOME to a folder that can be written to"):
        load(str(tmp_path / "x.npy"))


def test_a_disk_that_is_too_small_is_told_first(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 5)))
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DiskError, match="set TUNER_DATA_HOME to a larger disk"):
        load(str(tmp_path / "x.npy"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_data_larger_than_memory_are_read(tmp_path, ending):
    """Read 2 GiB in a process that may use 0.75 GiB besides its libraries and mapped files."""
    program = f"""
        import resource, numpy as np
        from tuner.data import load
        x = np.random.default_rng(0).normal(size=(65536, 256)).astype(np.float32)
        path = "x.{ending}"
        if path.endswith("npy"):
            out = np.lib.format.open_memmap(path, "w+", np.float32, (32 * 65536, 256))
            for i in range(32):
                out[i * 65536 : (i + 1) * 65536] = x + i
            del out
        else:
            import pyarrow as pa
            from pyarrow.parquet import ParquetWriter
            names = [f"c{{i}}" for i in range(256)]
            with ParquetWriter(path, pa.schema([(n, pa.float32()) for n in names])) as writer:
                for i in range(32):
                    writer.write_table(pa.table(list((x + i).T.copy()), names=names))
        del x
        limit = 3 * 2**28 + int(open("/proc/self/statm").read().split()[5]) * 4096
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        data = load(path)
        assert len(data.train) + len(data.test) == 32 * 65536
        assert abs(float(data.train[::1000].mean())) < 0.1
        print(data.fingerprint)
    """
    import textwrap

    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.strip()) == 64
