import subprocess
import sys

import numpy as np
import pytest

from tuner.errors import DiskError
from tuner.reports import plots
from tuner.reports.plots import figures, projections

RNG = np.random.default_rng(0)


def rendered(figure):
    """Return the pixels of a figure, (H, W, 4)."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_confusion_counts_every_pair_and_orders_clusters_by_label():
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    labels = np.array([1, 1, 0, 0, 0, 1, 1, 1, 1])
    (axes,) = plots.confusion(clusters, labels, n_components=4, label_names=["ant", "bee"]).axes
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


def test_members_go_from_the_most_certain_to_the_least_certain():
    certainty = np.array([0.9, 0.6, 0.8, 0.7, 0.99])
    proba = np.stack([certainty, 1 - certainty], axis=1)
    proba[4] = proba[4][::-1]
    points = np.arange(5.0)[:, None, None] * np.ones((5, 3, 3))
    figure = plots.members(points, proba, columns=3)
    (axes,) = figure.axes
    canvas = axes.images[0].get_array()
    # cluster 0 holds points 0, 2, 3, 1 by certainty; both ends and one between are shown
    assert canvas.shape == (2 * 4 - 1, 3 * 4 - 1)
    assert [canvas[0, left] * 4 for left in (0, 4, 8)] == [0, 3, 1]
    assert canvas[4, 0] * 4 == 4
    assert (canvas[4:, 4:] == 1).all()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0 (4)", "1 (1)"]


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5), (4, 5, 3), (4, 5, 1)])
def test_images_of_any_layout_are_drawn(shape):
    assert plots.is_image(shape)
    figure = plots.samples(RNG.normal(size=(3, 2, *shape)))
    canvas = figure.axes[0].images[0].get_array()
    assert canvas.shape[:2] == (3 * 5 - 1, 2 * 6 - 1)
    assert rendered(figure).std() > 0


@pytest.mark.parametrize("channels_first", [True, False])
def test_colour_images_keep_their_colours(channels_first):
    points = np.zeros((3, 2, 4, 5, 3))
    for colour in range(3):
        points[colour, ..., colour] = 255
    if channels_first:
        points = np.moveaxis(points, 4, 2)
    figure = plots.samples(points)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    for colour in range(3):
        tiles = canvas[colour * 5 : colour * 5 + 4, 6:11]
        assert (tiles == np.eye(3)[colour]).all()
    seen = rendered(figure)[..., :3].reshape(-1, 3)
    for colour in range(3):
        assert (seen == 255 * np.eye(3)[colour]).all(axis=1).any()


@pytest.mark.parametrize("shape", [(6,), (1,), (1, 6), (2, 3, 4), (2, 2, 2, 2)])
def test_other_points_are_drawn_as_lines(shape):
    assert not plots.is_image(shape)
    figure = plots.samples(RNG.normal(size=(3, 2, *shape)))
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]
    assert rendered(figure).std() > 0


def test_constant_and_odd_values_can_be_drawn():
    rendered(plots.samples(np.zeros((2, 2, 3, 3))))
    rendered(plots.samples(np.full((2, 2, 3, 3), np.nan)))
    rendered(plots.members(np.zeros((4, 3)), np.full((4, 2), 0.5)))


def test_a_cluster_without_members_keeps_its_row():
    figure = plots.members(RNG.normal(size=(4, 3, 3)), np.eye(3)[[0, 0, 2, 2]])
    rows = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert rows == ["0 (2)", "1 (0)", "2 (2)"]


def test_curves_have_a_line_per_replica_and_gaps_for_values_that_are_not_finite():
    epochs = np.array([1, 2, 4])
    score = np.array([[0.1, 0.2], [np.inf, 0.3], [0.4, np.nan]])
    figure = plots.curves(epochs, {"score": score, "train/loss": np.array([3.0, 2.0, 1.0])})
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["score", "train/loss"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    assert np.isnan(first.lines[0].get_ydata()).tolist() == [False, True, False]
    assert second.lines[0].get_xdata().tolist() == [1, 2, 4]
    rendered(figure)


def test_a_single_epoch_is_a_visible_point():
    (axes,) = plots.curves(np.array([1]), {"score": np.array([[0.5]])}).axes
    assert axes.lines[0].get_marker() == "o"


def test_a_scatter_plot_is_coloured_by_cluster_and_by_label():
    points, clusters = RNG.normal(size=(50, 2)), np.arange(50) % 3
    (axes,) = plots.scatter(points, clusters).axes
    assert [len(group.get_offsets()) for group in axes.collections] == [17, 17, 16]
    colours = {tuple(group.get_facecolor()[0]) for group in axes.collections}
    assert len(colours) == 3
    figure = plots.scatter(points, clusters, labels=clusters % 2, label_names=["a", "b"])
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    rendered(figure)


def test_clusters_are_distinguished_by_colour_and_marker():
    looks = {(figures.colour(k), figures.marker(k)) for k in range(70)}
    assert len(looks) == 70
    assert len({figures.colour(k) for k in range(10)}) == 10
    assert len({(figures.colour(r), figures.line_style(r)) for r in range(40)}) == 40


def test_many_groups_and_long_names_leave_room_for_the_points():
    points, codes = RNG.normal(size=(200, 2)), np.arange(200)
    (axes,) = plots.scatter(points, codes).axes
    assert axes.get_legend() is None
    figure = plots.scatter(points, codes % 2, labels=codes % 3, label_names=["a" * 90] * 3)
    rendered(figure)
    legend = figure.axes[1].get_legend()
    assert {len(text.get_text()) for text in legend.get_texts()} == {20}
    assert figure.axes[1].get_window_extent().width > 200


def test_axes_of_very_different_ranges_are_not_scaled_equally():
    points = RNG.normal(size=(50, 2))
    assert plots.scatter(points, np.zeros(50, int)).axes[0].get_aspect() == 1.0
    assert plots.scatter(points * [1, 1e5], np.zeros(50, int)).axes[0].get_aspect() == "auto"


def test_equal_points_can_be_drawn():
    rendered(plots.scatter(np.zeros((10, 2)), np.zeros(10, int)))
    rendered(plots.scatter(np.full((10, 2), np.nan), np.zeros(10, int)))


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (5,), (1,)])
def test_traversals_have_a_row_per_cluster_and_a_column_per_step(shape):
    figure = plots.traversals(RNG.normal(size=(4, 7, *shape)))
    assert figure.get_supxlabel().startswith("style")
    if len(shape) > 1:
        assert figure.axes[0].images[0].get_array().shape[:2] == (4 * 9 - 1, 7 * 9 - 1)
    else:
        colours = [line.get_color() for line in figure.axes[0].lines]
        assert len(set(colours)) == 7
    assert rendered(figure)[..., :3].std() > 10


def test_a_few_outlier_pixels_do_not_reduce_the_contrast():
    points = RNG.uniform(size=(4, 10, 8, 8))
    points[0, 0, 0, 0] = 1e6
    canvas_of = np.asarray(plots.samples(points).axes[0].images[0].get_array())
    assert np.quantile(canvas_of[20:], 0.4) > 0.2
    assert canvas_of.max() == 1


def test_stages_shade_the_epochs_since_the_previous_evaluation():
    epochs = np.array([2, 4, 6, 8])
    lines = {"score": np.arange(4.0), "train/loss": np.arange(4.0)}
    figure = plots.curves(epochs, lines, stages=["vae", "vae", "em", "vae"])
    for axes in figure.axes:
        spans = [(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches]
        assert spans == [(0, 2), (2, 4), (4, 6), (6, 8)]
        shades = [p.get_facecolor() for p in axes.patches]
        assert shades[0] == shades[1] == shades[3] != shades[2]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["stage vae", "stage em"]
    rendered(figure)
    one = plots.curves(epochs, lines, stages=["em"] * 4)
    assert not one.legends
    assert not one.axes[0].patches


def test_axes_have_units_and_levels_are_drawn_at_their_values():
    figure = plots.curves(
        np.arange(1, 4),
        {"train/z_prior": np.array([0.0, 1.0, 2.0]), "train/loss": np.zeros(3)},
        units={"train/z_prior": "nats"},
        levels={"train/z_prior": {"log K": 2.3, "threshold": 1.2}, "train/gone": {"x": 9.0}},
    )
    first, second = figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("nats", "")
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch (passes over the data)"}
    heights = {line.get_label(): line.get_ydata()[0] for line in first.lines[1:]}
    assert heights == {"log K": 2.3, "threshold": 1.2}
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["log K", "threshold"]
    assert first.get_ylim()[1] > 2.3
    assert len(second.lines) == 1
    rendered(figure)


def test_a_value_between_two_gaps_is_visible():
    values = np.array([np.nan, 1.0, np.nan, 2.0, 3.0])
    (axes,) = plots.curves(np.arange(1, 6), {"score": values}).axes
    assert axes.lines[0].get_markevery() == [1]


def test_no_texts_of_a_figure_overlap():
    names = [f"train/metric_{n}" for n in range(7)]
    values = RNG.normal(size=(20, 5)) * 10.0 ** RNG.integers(-4, 6, size=(20, 1))
    figure = plots.curves(
        np.arange(1, 21),
        {"score": values, **dict.fromkeys(names, values)},
        stages=["pretraining"] * 10 + ["joint"] * 10,
        units=dict.fromkeys(names, "nats, mean of replicas"),
    )
    rendered(figure)
    labels = [figure.legends[0]] + [
        text
        for axes in figure.axes
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label)
        if text.get_text()
    ]
    boxes = [text.get_window_extent() for text in labels]
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert not pairs


def test_tsne_separates_groups_and_is_deterministic():
    groups = np.arange(90) % 3
    codes = RNG.normal(size=(90, 8)) + 20 * np.eye(8)[groups]
    projection = projections.tsne(codes)
    np.testing.assert_array_equal(projection, projections.tsne(codes))
    gaps = np.linalg.norm(projection[:, None] - projection[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert (groups[gaps.argmin(axis=1)] == groups).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize(
    "of", [np.zeros_like, lambda x: x, lambda x: x * 1e30, lambda x: 7 + 0 * x]
)
def test_few_or_degenerate_codes_have_a_projection(n, of):
    for width in (1, 2, 5):
        projection = projections.tsne(of(RNG.normal(size=(n, width)).astype(np.float32)))
        assert projection.shape == (n, 2)
        assert np.isfinite(projection).all()


def test_codes_of_two_dimensions_are_not_projected():
    codes = RNG.normal(size=(20, 2))
    np.testing.assert_array_equal(projections.tsne(codes), codes)
    np.testing.assert_array_equal(projections.tsne(codes[:, :1])[:, 1], np.zeros(20))


def test_equal_figures_give_equal_files(tmp_path):
    curves = [plots.curves(np.arange(3), {"score": np.arange(3.0)}) for _ in range(2)]
    for index, figure in enumerate(curves):
        plots.save(figure, tmp_path / "deep" / f"{index}.png")
    first, second = ((tmp_path / "deep" / f"{index}.png").read_bytes() for index in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_an_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    figure = plots.curves(np.arange(3), {"score": np.arange(3.0)})
    with pytest.raises(DiskError, match="choose a writable folder"):
        plots.save(figure, tmp_path / "file" / "a.png")


def test_pyplot_is_not_imported():
    program = "import sys, tuner.reports.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
