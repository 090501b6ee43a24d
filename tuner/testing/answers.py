"""Checks of what training leaves behind: the answers of a method and of its clusterers."""

import tempfile
from functools import partial
from pathlib import Path

import torch

from ..evaluation.metrics import ari, contingency
from ..evaluation.objective import evaluate, neighbour_graph
from ..methods.contract import Bounds, Decodes, Generates, Traverses
from ..training import checkpoint
from .subject import CLOSE, SEEDS, Subject, check_pure, check_tensor, distance


def answers_are_log_probabilities(subject: Subject) -> None:
    """Answers are float32, (R, N, K) or (N, K), finite and normalised; labels are int64."""
    K, clusterer = subject.config.n_components, subject.clusterers[0]
    answers = (
        (subject.answer, (len(SEEDS), 300, K)),
        (clusterer.predict_log_proba(subject.x), (300, K)),
    )
    for answer, shape in answers:
        check_tensor("predict_log_proba", answer, shape)
        off = float(answer.logsumexp(dim=-1).abs().max())
        assert off < CLOSE, f"Probabilities sum to exp(±{off:.1e}), not to 1."
    labels = clusterer.predict(subject.x)
    assert labels.dtype == torch.int64, f"predict answers {labels.dtype}, not int64."


def codes_have_one_row_per_point(subject: Subject) -> None:
    """Codes are float32, (N, D), finite."""
    codes = subject.clusterers[0].embed(subject.x)
    assert codes.dim() == 2, f"embed has {codes.dim()} axes: give codes of shape (N, D)."
    check_tensor("embed", codes, (300, codes.shape[1]))


def answers_depend_on_the_point_alone(subject: Subject) -> None:
    """An answer is the same when asked again and in whatever batch the point comes."""
    method, clusterer = subject.trained[0], subject.clusterers[1]
    check_pure("The method's predict_log_proba", method.predict_log_proba, subject.x, axis=1)
    check_pure("The clusterer's predict_log_proba", clusterer.predict_log_proba, subject.x)
    check_pure("embed", clusterer.embed, subject.x)


def a_single_point_is_predicted(subject: Subject) -> None:
    """A point alone has an answer and a code."""
    point = subject.x[:1]
    for r, clusterer in enumerate(subject.clusterers):
        shape = (1, subject.config.n_components)
        check_tensor("predict_log_proba of a point", clusterer.predict_log_proba(point), shape)
        codes = clusterer.embed(point)
        assert codes.shape[0] == 1, f"embed of a point answers {len(codes)} rows."
        gap = distance(clusterer.predict_log_proba(point)[0], subject.answer[r, 0])
        assert gap < CLOSE, f"A point alone is answered otherwise than in company, by {gap:.1e}."


def clusterers_answer_as_their_method(subject: Subject) -> None:
    """Clusterer r answers what the method answers for replica r."""
    for name in subject.method.clusterer_with:
        is_switch = isinstance(getattr(subject.config, name, None), bool)
        assert is_switch, f"clusterer_with names {name!r}, which is no switch: use one."
    count = len(subject.clusterers)
    assert count == len(SEEDS), f"{len(SEEDS)} replicas leave {count} clusterers."
    for r, clusterer in enumerate(subject.clusterers):
        kind = type(clusterer).__name__
        expected = subject.method.clusterer_of(subject.short)
        assert type(clusterer) is expected, f"A clusterer is a {kind}, not {expected.__name__}."
        gap = distance(clusterer.predict_log_proba(subject.x), subject.answer[r])
        assert gap < CLOSE, f"Clusterer {r} differs from its method's answer by {gap:.1e}."


def clusterers_are_detached_from_training(subject: Subject) -> None:
    """A clusterer taken at a report stays what it is while training goes on."""
    method = subject.fresh()
    training = method.fit(subject.x)
    next(training)
    clusterer = method.clusterers()[0]
    before = {name: tensor.clone() for name, tensor in clusterer.weights().items()}
    for _ in training:
        pass
    for name, tensor in clusterer.weights().items():
        same = torch.equal(tensor.nan_to_num(), before[name].nan_to_num())
        assert same, f"{name} of a clusterer changes while training goes on: copy it."


def clusterers_survive_a_file(subject: Subject) -> None:
    """A clusterer rebuilt from its settings and weights, through a file, answers the same."""
    for r, clusterer in enumerate(subject.clusterers):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "clusterer"
            checkpoint.write(place, clusterer.weights(), subject.short.to_mapping())
            weights, settings = checkpoint.read(place)
        config = subject.method.config_type.from_mapping(settings)
        kind = subject.method.clusterer_of(config)
        again = kind(config, (4,), weights, device=subject.device)
        for name in ("predict_proba", "embed"):
            same = torch.equal(
                getattr(again, name)(subject.x), getattr(clusterer, name)(subject.x)
            )
            assert same, f"Replica {r} rebuilt from its weights gives another {name}."


def separated_blobs_are_found(subject: Subject) -> None:
    """The best of four replicas by score, chosen without labels, finds three clear blobs."""
    method = subject.fitted(subject.x, range(4), config=subject.config)
    graph = neighbour_graph(subject.x.cpu().numpy(), fingerprint="blobs")
    found = evaluate(graph, method.predict_log_proba(subject.x).cpu())
    value = ari(contingency(found.labels[found.best], subject.labels))
    assert value > 0.9, (
        f"The best of four replicas (score {found.score.max():.2f}) finds the three blobs with an "
        f"adjusted Rand index of {value:.2f}: the preset tiny should reach 0.9."
    )


def reconstructions_look_like_points(subject: Subject) -> None:
    """Reconstructions are float32 of the points' own shape, finite, each by its point alone."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Decodes)
    check_tensor("reconstruct", clusterer.reconstruct(subject.x), (300, 4))
    check_pure("reconstruct", clusterer.reconstruct, subject.x)
    shaped = subject.x.unflatten(1, (2, 2))
    other = subject.fitted(shaped).clusterers()[0]
    assert isinstance(other, Decodes)
    check_tensor("reconstruct of points (2, 2)", other.reconstruct(shaped), (300, 2, 2))


def samples_follow_their_seed(subject: Subject) -> None:
    """Samples of every cluster are float32 (n, *shape), finite, decided by cluster and seed."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Generates)
    state = torch.get_rng_state()
    for cluster in range(subject.config.n_components):
        draw = partial(clusterer.sample, cluster, 5)
        check_tensor(f"sample of cluster {cluster}", draw(0), (5, 4))
        assert torch.equal(draw(0), draw(0)), "sample gives other points for the same seed 0."
        assert torch.equal(draw(7), draw(7)), "sample gives other points for the same seed 7."
        assert not torch.equal(draw(0), draw(7)), "sample gives the same points for seeds 0 and 7."
    same = torch.equal(state, torch.get_rng_state())
    assert same, "sample touches the global random state of torch."
    one, two = clusterer.sample(0, 5, 0), clusterer.sample(1, 5, 0)
    assert not torch.equal(one, two), "sample gives the same points for clusters 0 and 1."


def traversals_are_lines(subject: Subject) -> None:
    """A cluster's traversal is float32 (steps, *shape), finite, and one line for any steps."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Traverses)
    state = torch.get_rng_state()
    for cluster in range(subject.config.n_components):
        line = clusterer.traverse(cluster, 5)
        check_tensor(f"traverse of cluster {cluster}", line, (5, 4))
        again = clusterer.traverse(cluster, 5)
        assert torch.equal(line, again), "traverse gives other points when asked again."
        gap = distance(clusterer.traverse(cluster, 3), line[::2])
        assert gap < CLOSE, f"traverse takes another line for 3 steps than for 5, by {gap:.1e}."
        still = torch.equal(line[0], line[-1])
        assert not still, f"traverse of cluster {cluster} ends where it begins."
    same = torch.equal(state, torch.get_rng_state())
    assert same, "traverse touches the global random state of torch."
    one, two = clusterer.traverse(0, 5), clusterer.traverse(1, 5)
    assert not torch.equal(one, two), "traverse gives the same points for clusters 0 and 1."


def bounds_are_one_number_per_point(subject: Subject) -> None:
    """Bounds are float32, (N,), finite, each by its point alone."""
    clusterer = subject.clusterers[0]
    assert isinstance(clusterer, Bounds)
    check_tensor("elbo", clusterer.elbo(subject.x), (300,))
    check_pure("elbo", clusterer.elbo, subject.x)
