"""With several methods, what is cheap is tried first."""

from typing import Any

from tuner.study.branches import Branch
from tuner.study.order import cheap_first
from tuner.study.plan import prepare
from tuner.study.study import Study


def branches(*methods: str, **settings: Any) -> dict[str, Branch]:
    return dict(prepare(Study(methods=methods, **settings)).branches)


def test_fits_come_before_what_is_trained_and_short_trainings_before_long_ones() -> None:
    named = branches("vade", "gmm", "vae_gmm", "kmeans")
    order = cheap_first(named, (8, 8))
    assert order == ("gmm", "kmeans", "vae_gmm", "vade")
    longer = branches("vade", "vae_gmm", fixed={"vae_gmm.vae_epochs": 100_000})
    assert cheap_first(longer, (8, 8)) == ("vade", "vae_gmm")


def test_fewer_parameters_cost_less() -> None:
    fixed = {"ae_gmm.hidden_sizes": "128-128-512", "dec.hidden_sizes": "500-500-2000"}
    passes = {"dec.epochs": 1, "dec.pretraining_epochs": 50, "ae_gmm.pretraining_epochs": 50}
    named = branches("dec", "ae_gmm", fixed={**fixed, **passes})
    assert cheap_first(named, (8, 8)) == ("ae_gmm", "dec")


def test_equal_ones_stay_as_they_are_named() -> None:
    for methods in (("kmeans", "gmm"), ("gmm", "kmeans")):
        assert cheap_first(branches(*methods), (8, 8)) == methods


def test_a_method_that_cannot_be_built_comes_last() -> None:
    named = branches("gmvae", "vade", fixed={"gmvae.architecture": "svhn"})
    assert cheap_first(named, (8, 8)) == ("vade", "gmvae")


def test_a_single_method_is_not_built() -> None:
    named = branches("vade")
    assert cheap_first(named, ()) == ("vade",)


def test_a_plan_has_the_order_of_its_first_trials() -> None:
    plan = prepare(Study(methods=("vae_gmm", "kmeans")))
    assert [branch.method for branch in plan.beginning] == ["kmeans", "vae_gmm"]
    assert list(plan.branches) == ["vae_gmm", "kmeans"], "samplers see methods as they are named"
    assert plan.outline.order == plan.order
