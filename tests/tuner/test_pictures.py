import subprocess
import sys

import numpy as np
import pytest

from tuner import pictures
from tuner.errors import DiskError

RNG = np.random.default_rng(0)


def picture(figure):
    """Return what a figure looks like, (H, W, 4)."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_confusion_counts_every_pair_and_orders_clusters_by_label():
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    labels = np.array([1, 1, 0, 0, 0, 1, 1, 1, 1])
    (axes,) = pictures.confusion(clusters, labels, n_components=4, label_names=["ant", "bee"]).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ant", "bee"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["1", "2", "0", "3"]
    assert sorted(texts(axes)) == ["1", "2", "2", "4"]
    shares = axes.images[0].get_array()
    assert shares.tolist() == [
        [1, 0],
        [0, 1],
        [pytest.approx(1 / 3), pytest.approx(2 / 3)],
        [0, 0],
    ]


def test_members_go_from_the_surest_to_the_least_sure():
    certainty = np.array([0.9, 0.6, 0.8, 0.7, 0.99])
    proba = np.stack([certainty, 1 - certainty], axis=1)
    proba[4] = proba[4][::-1]
    points = np.arange(5.0)[:, None, None] * np.ones((5, 3, 3))
    figure = pictures.members(points, proba, columns=3)
    (axes,) = figure.axes
    canvas = axes.images[0].get_array()
    # cluster 0 holds points 0, 2, 3, 1 from the surest on; the ends and one between are shown
    assert canvas.shape == (2 * 4 - 1, 3 * 4 - 1)
    assert [canvas[0, left] * 4 for left in (0, 4, 8)] == [0, 3, 1]
    assert canvas[4, 0] * 4 == 4
    assert (canvas[4:, 4:] == 1).all()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0 (4)", "1 (1)"]


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5), (4, 5, 3), (4, 5, 1)])
def test_images_of_any_layout_are_drawn(shape):
    assert pictures.is_image(shape)
    figure = pictures.samples(RNG.normal(size=(3, 2, *shape)))
    canvas = figure.axes[0].images[0].get_array()
    assert canvas.shape[:2] == (3 * 5 - 1, 2 * 6 - 1)
    assert picture(figure).std() > 0


@pytest.mark.parametrize("channels_first", [True, False])
def test_colours_are_kept(channels_first):
    points = np.zeros((3, 2, 4, 5, 3))
    for colour in range(3):
        points[colour, ..., colour] = 255
    if channels_first:
        points = np.moveaxis(points, 4, 2)
    figure = pictures.samples(points)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    for colour in range(3):
        tiles = canvas[colour * 5 : colour * 5 + 4, 6:11]
        assert (tiles == np.eye(3)[colour]).all()
    seen = picture(figure)[..., :3].reshape(-1, 3)
    for colour in range(3):
        assert (seen == 255 * np.eye(3)[colour]).all(axis=1).any()


@pytest.mark.parametrize("shape", [(6,), (1,), (1, 6), (2, 3, 4), (2, 2, 2, 2)])
def test_other_points_are_drawn_as_lines(shape):
    assert not pictures.is_image(shape)
    figure = pictures.samples(RNG.normal(size=(3, 2, *shape)))
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]
    assert picture(figure).std() > 0


def test_constant_and_odd_values_can_be_drawn():
    picture(pictures.samples(np.zeros((2, 2, 3, 3))))
    picture(pictures.samples(np.full((2, 2, 3, 3), np.nan)))
    picture(pictures.members(np.zeros((4, 3)), np.full((4, 2), 0.5)))


def test_a_cluster_without_members_keeps_its_row():
    figure = pictures.members(RNG.normal(size=(4, 3, 3)), np.eye(3)[[0, 0, 2, 2]])
    rows = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert rows == ["0 (2)", "1 (0)", "2 (2)"]


def test_curves_have_a_line_per_replica_and_gaps_for_what_is_no_number():
    epochs = np.array([1, 2, 4])
    score = np.array([[0.1, 0.2], [np.inf, 0.3], [0.4, np.nan]])
    figure = pictures.curves(epochs, {"score": score, "train/loss": np.array([3.0, 2.0, 1.0])})
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["score", "train/loss"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    assert np.isnan(first.lines[0].get_ydata()).tolist() == [False, True, False]
    assert second.lines[0].get_xdata().tolist() == [1, 2, 4]
    picture(figure)


def test_one_epoch_is_a_point_that_can_be_seen():
    (axes,) = pictures.curves(np.array([1]), {"score": np.array([[0.5]])}).axes
    assert axes.lines[0].get_marker() == "o"


def test_the_plane_is_coloured_by_cluster_and_by_label():
    points, clusters = RNG.normal(size=(50, 2)), np.arange(50) % 3
    (axes,) = pictures.scatter(points, clusters).axes
    assert [len(group.get_offsets()) for group in axes.collections] == [17, 17, 16]
    colours = {tuple(group.get_facecolor()[0]) for group in axes.collections}
    assert len(colours) == 3
    figure = pictures.scatter(points, clusters, labels=clusters % 2, label_names=["a", "b"])
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    picture(figure)


def test_the_same_picture_is_the_same_file(tmp_path):
    figures = [pictures.curves(np.arange(3), {"score": np.arange(3.0)}) for _ in range(2)]
    for index, figure in enumerate(figures):
        pictures.save(figure, tmp_path / "deep" / f"{index}.png")
    first, second = ((tmp_path / "deep" / f"{index}.png").read_bytes() for index in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    figure = pictures.curves(np.arange(3), {"score": np.arange(3.0)})
    with pytest.raises(DiskError, match="choose a folder"):
        pictures.save(figure, tmp_path / "file" / "a.png")


def test_nothing_is_shared_with_other_plots():
    program = "import sys, tuner.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
