"""Checks of the outputs of a trained method and its clusterers."""

import tempfile
from functools import partial
from pathlib import Path

import torch

from ..evaluation.graph import neighbour_graph
from ..evaluation.metrics import ari, contingency
from ..evaluation.objective import evaluate
from ..methods.contract import Bounds, Decodes, Generates, Traverses
from ..training import checkpoint
from .subject import SEEDS, TOLERANCE, Subject, check_pure, check_tensor, distance


def predictions_are_log_probabilities(subject: Subject) -> None:
    """Predictions are finite and normalised float32, (R, N, K) or (N, K), and labels are int64."""
    K, clusterer = subject.config.n_components, subject.clusterers[0]
    predictions = (
        (subject.log_proba, (len(SEEDS), 300, K)),
        (clusterer.predict_log_proba(subject.x), (300, K)),
    )
    for log_proba, shape in predictions:
        check_tensor("predict_log_proba", log_proba, shape)
        error = float(log_proba.logsumexp(dim=-1).abs().max())
        assert error < TOLERANCE, f"Probabilities sum to exp(±{error:.1e}) instead of 1."
    labels = clusterer.predict(subject.x)
    assert labels.dtype == torch.int64, f"predict returns {labels.dtype} instead of int64."


def codes_have_one_row_per_point(subject: Subject) -> None:
    """Codes are finite float32, (N, D)."""
    codes = subject.clusterers[0].embed(subject.x)
    assert codes.dim() == 2, f"embed returns {codes.dim()} axes: return codes of shape (N, D)."
    check_tensor("embed", codes, (300, codes.shape[1]))


def outputs_do_not_depend_on_the_batch(subject: Subject) -> None:
    """Predictions and codes are the same in every call and for every batch of points."""
    method, clusterer = subject.trained[0], subject.clusterers[1]
    check_pure("The method's predict_log_proba", method.predict_log_proba, subject.x, axis=1)
    check_pure("The clusterer's predict_log_proba", clusterer.predict_log_proba, subject.x)
    check_pure("embed", clusterer.embed, subject.x)


def a_single_point_can_be_predicted(subject: Subject) -> None:
    """A single point has a prediction and a code."""
    point = subject.x[:1]
    for r, clusterer in enumerate(subject.clusterers):
        shape = (1, subject.config.n_components)
        log_proba = clusterer.predict_log_proba(point)
        check_tensor("predict_log_proba of one point", log_proba, shape)
        codes = clusterer.embed(point)
        assert codes.shape[0] == 1, f"embed of one point returns {len(codes)} rows."
        gap = distance(log_proba[0], subject.log_proba[r, 0])
        assert gap < TOLERANCE, f"Predictions of one point change in a batch, by {gap:.1e}."


def clusterers_agree_with_their_method(subject: Subject) -> None:
    """Clusterer r gives the predictions of the method for replica r."""
    for name in subject.method.clusterer_with:
        is_bool = isinstance(getattr(subject.config, name, None), bool)
        assert is_bool, f"clusterer_with names {name!r}, which is not a boolean setting."
    count = len(subject.clusterers)
    assert count == len(SEEDS), f"{len(SEEDS)} replicas yield {count} clusterers."
    for r, clusterer in enumerate(subject.clusterers):
        kind = type(clusterer).__name__
        expected = subject.method.clusterer_of(subject.short)
        assert type(clusterer) is expected, f"A clusterer is a {kind}, not {expected.__name__}."
        gap = distance(clusterer.predict_log_proba(subject.x), subject.log_proba[r])
        assert gap < TOLERANCE, f"Clusterer {r} differs from its method by {gap:.1e}."


def clusterers_are_detached_from_training(subject: Subject) -> None:
    """A clusterer does not change when training continues."""
    method = subject.fresh()
    training = method.fit(subject.x)
    next(training)
    clusterer = method.clusterers()[0]
    before = {name: tensor.clone() for name, tensor in clusterer.weights().items()}
    for _ in training:
        pass
    for name, tensor in clusterer.weights().items():
        same = torch.equal(tensor.nan_to_num(), before[name].nan_to_num())
        assert same, f"The weight {name} of a clusterer changes as training continues: copy it."


def clusterers_can_be_saved_and_loaded(subject: Subject) -> None:
    """A clusterer rebuilt from its saved settings and weights gives equal outputs."""
    for r, clusterer in enumerate(subject.clusterers):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clusterer"
            checkpoint.write(path, clusterer.weights(), subject.short.to_mapping())
            weights, settings = checkpoint.read(path)
        config = subject.method.config_type.from_mapping(settings)
        kind = subject.method.clusterer_of(config)
        loaded = kind(config, (4,), weights, device=subject.device)
        for name in ("predict_proba", "embed"):
            same = torch.equal(
                getattr(loaded, name)(subject.x), getattr(clusterer, name)(subject.x)
            )
            assert same, f"{name} of replica {r} changes after saving and loading."


def separated_blobs_are_found(subject: Subject) -> None:
    """The replica with the best score of four finds three well separated blobs."""
    method = subject.fitted(subject.x, range(4), config=subject.config)
    graph = neighbour_graph(subject.x.cpu().numpy(), fingerprint="blobs")
    found = evaluate(graph, method.predict_log_proba(subject.x).cpu())
    value = ari(contingency(found.labels[found.best], subject.labels))
    assert value > 0.9, (
        f"The best of four replicas (score {found.score.max():.2f}) finds three blobs with an "
        f"adjusted Rand index of {value:.2f}: the preset 'tiny' must reach more than 0.9."
    )


def reconstructions_have_the_shape_of_points(subject: Subject) -> None:
    """Reconstructions are finite float32 of the points' shape and do not depend on the batch."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Decodes)
    check_tensor("reconstruct", clusterer.reconstruct(subject.x), (300, 4))
    check_pure("reconstruct", clusterer.reconstruct, subject.x)
    shaped = subject.x.unflatten(1, (2, 2))
    other = subject.fitted(shaped).clusterers()[0]
    assert isinstance(other, Decodes)
    check_tensor("reconstruct of points of shape (2, 2)", other.reconstruct(shaped), (300, 2, 2))


def samples_depend_only_on_cluster_and_seed(subject: Subject) -> None:
    """Samples are finite float32, (n, *shape), determined by cluster and seed."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Generates)
    state = torch.get_rng_state()
    for cluster in range(subject.config.n_components):
        draw = partial(clusterer.sample, cluster, 5)
        check_tensor(f"sample of cluster {cluster}", draw(0), (5, 4))
        assert torch.equal(draw(0), draw(0)), "sample gives different points for the same seed 0."
        assert torch.equal(draw(7), draw(7)), "sample gives different points for the same seed 7."
        assert not torch.equal(draw(0), draw(7)), "sample gives the same points for seeds 0 and 7."
    same = torch.equal(state, torch.get_rng_state())
    assert same, "sample changes the global random state of torch."
    one, two = clusterer.sample(0, 5, 0), clusterer.sample(1, 5, 0)
    assert not torch.equal(one, two), "sample gives the same points for clusters 0 and 1."


def traversals_follow_one_line(subject: Subject) -> None:
    """Traversals are finite float32, (steps, *shape), along the same line for any steps."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Traverses)
    state = torch.get_rng_state()
    for cluster in range(subject.config.n_components):
        line = clusterer.traverse(cluster, 5)
        check_tensor(f"traverse of cluster {cluster}", line, (5, 4))
        again = clusterer.traverse(cluster, 5)
        assert torch.equal(line, again), "traverse gives different points when it is called again."
        gap = distance(clusterer.traverse(cluster, 3), line[::2])
        assert gap < TOLERANCE, f"traverse with 3 and with 5 steps differs by {gap:.1e}."
        constant = torch.equal(line[0], line[-1])
        assert not constant, f"traverse of cluster {cluster} ends where it starts."
    same = torch.equal(state, torch.get_rng_state())
    assert same, "traverse changes the global random state of torch."
    one, two = clusterer.traverse(0, 5), clusterer.traverse(1, 5)
    assert not torch.equal(one, two), "traverse gives the same points for clusters 0 and 1."


def bounds_have_one_value_per_point(subject: Subject) -> None:
    """Bounds are finite float32, (N,), and do not depend on the batch."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Bounds)
    check_tensor("elbo", clusterer.elbo(subject.x), (300,))
    check_pure("elbo", clusterer.elbo, subject.x)
