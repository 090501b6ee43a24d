"""Methods that each break one rule of the contract, and the check that has to notice."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from tuner.methods.config import MetricInfo
from tuner.methods.contract import Clusterer, Method, Report, Shape, State
from tuner.models._kit.loop import batch_indices
from tuner.testing.training import UNSEEDED

from .toy import Reseeds, Retells, Spoils, Toy, ToyClusterer, ToyConfig

BROKEN: list[tuple[str, type[Method]]] = []


def breaks(check: str) -> Callable[[type[Any]], type[Any]]:
    """Say which check has to fail on a broken method, or on a method with a broken part."""

    def note(kind: type[Any]) -> type[Any]:
        if issubclass(kind, ToyConfig):
            method = type(kind.__name__, (Toy,), {"config_type": kind})
        elif issubclass(kind, ToyClusterer):
            method = type(kind.__name__, (Toy,), {"clusterer_type": kind})
        else:
            method = kind
        BROKEN.append((check, method))
        return kind

    return note


@breaks("config_survives_a_json_round_trip")
class Forgets(ToyConfig):
    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        return cls()


@breaks("config_survives_a_json_round_trip")
class Thawed(ToyConfig):
    __setattr__ = object.__setattr__


@breaks("capping_shortens_training")
class Uncapped(ToyConfig):
    def capped(self, epochs: int) -> Self:
        return self


@breaks("capping_shortens_training")
@dataclass(frozen=True, kw_only=True)
class Overcapped(ToyConfig):
    def capped(self, epochs: int) -> Self:
        return replace(self, epochs=1)


@breaks("capping_shortens_training")
class NeverClusters(Retells):
    def told(self, report: Report) -> Report:
        return replace(report, clusters=False)


@breaks("reports_are_well_formed")
class CountsFromZero(Retells):
    def told(self, report: Report) -> Report:
        return replace(report, epoch=report.epoch - 1)


@breaks("reports_are_well_formed")
class OneNumber(Retells):
    def told(self, report: Report) -> Report:
        return replace(report, metrics={"loss": report.metrics["loss"].mean()})


@breaks("metric_info_describes_reported_metrics")
class TellsOfNothing(ToyConfig):
    def metric_info(self) -> Mapping[str, MetricInfo]:
        return {"lost": MetricInfo(unit="nats")}


@breaks("metric_info_describes_reported_metrics")
class BoundlessLevel(ToyConfig):
    def metric_info(self) -> Mapping[str, MetricInfo]:
        return {"loss": MetricInfo(levels={"most": float("inf")})}


@breaks("fit_takes_only_points_and_leaves_them_unchanged")
class Supervised(Toy):
    def fit(self, x: Tensor, labels: Tensor | None = None) -> Iterator[Report]:
        return super().fit(x)


@breaks("fit_takes_only_points_and_leaves_them_unchanged")
class Centres(Toy):
    def fit(self, x: Tensor) -> Iterator[Report]:
        return super().fit(x.sub_(0.5))


@breaks("global_random_state_is_unchanged")
class Samples(Toy):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        torch.randn(1)
        return super().predict_log_proba(x)


@breaks("any_number_of_points_works")
class NeedsWholeBatches(Spoils):
    def spoilt(self, x: Tensor) -> bool:
        return len(x) % 100 > 0


@breaks("a_constant_feature_is_harmless")
class DividesBySpread(Spoils):
    def spoilt(self, x: Tensor) -> bool:
        return bool((x.std(dim=0) == 0).any())


@breaks("points_can_have_any_shape")
class TakesRowsForPoints(Toy):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        answer = super().predict_log_proba(x)
        return answer.repeat(1, 2, 1) if x.dim() > 2 else answer


@breaks("intermediate_results_do_not_affect_training")
class DrawsWhenAsked(Toy):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        self.draws.uniform(1)
        return super().predict_log_proba(x)


@breaks("training_resumes_exactly")
class ForgetsItsDraws(Toy):
    def parts(self) -> dict[str, object]:
        return {name: part for name, part in super().parts().items() if name != "draws"}


@breaks("training_resumes_exactly")
class StartsAgain(Toy):
    def parts(self) -> dict[str, object]:
        return {name: part for name, part in super().parts().items() if name != "clock"}


@breaks("a_state_is_a_copy")
class SharesItsState(Toy):
    def state(self) -> State:
        return super().state() | {"centres/": self.tensors["centres"].detach()}


@breaks("weights_exist_before_training")
class GrowsWeights(Toy):
    def clusterers(self) -> list[Clusterer]:
        clusterers = super().clusterers()
        for clusterer in clusterers:
            if self.clock.epoch and isinstance(clusterer, ToyClusterer):
                clusterer.tensors["late"] = torch.zeros(1)
        return clusterers


@breaks("replicas_are_independent")
class SharesItsBatches(Toy):
    def batches(self, n: int) -> Sequence[Tensor]:
        return [index[:1].expand_as(index) for index in batch_indices(n, 7, self.draws)]


@breaks("selected_replicas_continue")
class SelectsTheFirst(Toy):
    def select(self, replicas: Sequence[int]) -> Self:
        return super().select(range(len(replicas)))


@breaks("selected_replicas_continue")
class SelectsAnew(Toy):
    def select(self, replicas: Sequence[int]) -> Self:
        seeds = [self.seeds[r] for r in replicas]
        return type(self)(self.config, self.shape, seeds, device=self.device)


@breaks("recorded_steps_equal_called_ones")
class ClosesOverANumber(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch * (1 + 0.01 * self.clock.epoch))


@breaks("recorded_steps_equal_called_ones")
class DecidesInPython(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch + 0.01 if self.clock.epoch % 2 else batch)


@breaks("recorded_steps_equal_called_ones")
class CountsInPython(Toy):
    updates = 0

    def update(self, batch: Tensor) -> dict[str, Tensor]:
        self.updates += 1
        return super().update(batch)

    def fit(self, x: Tensor) -> Iterator[Report]:
        for report in super().fit(x):
            count = torch.full_like(report.metrics["loss"], self.updates)
            yield replace(report, metrics={**report.metrics, "updates": count})


@breaks("recorded_steps_equal_called_ones")
class SelectsByValue(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch[:, (batch[0, :, 0] > -10)])


@breaks("recorded_steps_equal_called_ones")
class AsksTheHost(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch if batch.max() < 1e9 else batch / 2)


@breaks("recorded_steps_equal_called_ones")
class FetchesValues(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch + float(batch.detach().cpu().numpy().min() > 1e9))


@breaks("recorded_steps_equal_called_ones")
class CopiesFromPython(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch * torch.tensor(1.0, device=batch.device))


@breaks("recorded_steps_equal_called_ones")
class ReplacesATensor(Toy):
    def batches(self, n: int) -> Sequence[Tensor]:
        self.shift = torch.zeros(1, device=self.device)
        return super().batches(n)

    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch + self.shift)


@breaks("recorded_steps_equal_called_ones")
class KeepsWhatAStepMade(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        self.last = super().update(batch)
        return self.last

    def fit(self, x: Tensor) -> Iterator[Report]:
        for report in super().fit(x):
            yield replace(report, metrics=dict(self.last)) if report.clusters else report


@breaks("recorded_steps_equal_called_ones")
class DrawsFromAnotherGenerator(Toy):
    def update(self, batch: Tensor) -> dict[str, Tensor]:
        return super().update(batch + 0.01 * self.apart.normal(*batch.shape[1:]))


@breaks("predictions_are_log_probabilities")
class Unnormalised(Toy):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        return super().predict_log_proba(x) - 1


@breaks("predictions_are_log_probabilities")
class Double(ToyClusterer):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        return super().predict_log_proba(x).double()


@breaks("codes_have_one_row_per_point")
class CodesInRows(ToyClusterer):
    def embed(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (2, 2))


@breaks("outputs_do_not_depend_on_the_batch")
class NormalisesTheBatch(ToyClusterer):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        return super().predict_log_proba(x - x.mean(dim=0))


@breaks("outputs_do_not_depend_on_the_batch")
class DrawsCodes(ToyClusterer):
    def embed(self, x: Tensor) -> Tensor:
        return x + torch.randn(x.shape)


@breaks("a_single_point_can_be_predicted")
class NeedsCompany(ToyClusterer):
    def predict_log_proba(self, x: Tensor) -> Tensor:
        return super().predict_log_proba(x if len(x) > 1 else x * torch.nan)


@breaks("clusterers_agree_with_their_method")
class HandsOutWrongly(Toy):
    def clusterers(self) -> list[Clusterer]:
        return super().clusterers()[::-1]


@breaks("clusterers_agree_with_their_method")
class LeavesAnother(Toy):
    def clusterers(self) -> list[Clusterer]:
        own = {name: tensor.detach() for name, tensor in self.tensors.items()}
        return [
            Double(self.config, self.shape, {n: t[r : r + 1] for n, t in own.items()})
            for r in range(len(self.draws))
        ]


@breaks("clusterers_agree_with_their_method")
class SwitchesByNumber(Toy):
    clusterer_with: ClassVar[Mapping[str, type[Clusterer]]] = {"epochs": Double}


@breaks("clusterers_are_detached_from_training")
class HandsOutItself(Toy):
    def clusterers(self) -> list[Clusterer]:
        live = {name: tensor.detach() for name, tensor in self.tensors.items()}
        return [
            ToyClusterer(self.config, self.shape, {n: t[r : r + 1] for n, t in live.items()})
            for r in range(len(self.draws))
        ]


@breaks("clusterers_can_be_saved_and_loaded")
class Rounds(ToyClusterer):
    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.half().float() for name, tensor in self.tensors.items()}


@breaks("separated_blobs_are_found")
class Collapses(Spoils):
    def spoilt(self, x: Tensor) -> bool:
        self.tensors["logits"].data[:, 0] += 1e3
        return False


@breaks("the_seed_determines_the_result")
class IgnoresTheSeed(Reseeds):
    def taken(self, seed: int) -> int:
        return 3


@breaks("the_seed_determines_the_result")
class TakesZeroForNone(Reseeds):
    def taken(self, seed: int) -> int:
        return seed or UNSEEDED


@breaks("the_seed_determines_the_result")
class ThrowsDice(Reseeds):
    def taken(self, seed: int) -> int:
        return int.from_bytes(os.urandom(4))


@breaks("the_seed_determines_the_result")
class AsksTheGlobalState(Reseeds):
    def taken(self, seed: int) -> int:
        return seed + torch.initial_seed() % 2**32


@breaks("gradients_reach_every_parameter")
class ForgetsAParameter(Toy):
    def trained_tensors(self) -> list[Any]:
        return [self.tensors["centres"], self.tensors["log_scale"]]


@breaks("gradients_reach_every_parameter")
class CutsAGradient(Toy):
    def __init__(self, config: Any, shape: Shape, seeds: Sequence[int], **options: Any) -> None:
        super().__init__(config, shape, seeds, **options)
        self.tensors["logits"].requires_grad_(False)


@breaks("divergence_does_not_raise")
class RaisesOnDivergence(Retells):
    def told(self, report: Report) -> Report:
        if not bool((report.metrics["loss"] < 1e3).all()):
            raise FloatingPointError("loss")
        return report


@breaks("reconstructions_have_the_shape_of_points")
class ReconstructsFlat(ToyClusterer):
    def reconstruct(self, x: Tensor) -> Tensor:
        return super().reconstruct(x).flatten(1)


@breaks("samples_depend_only_on_cluster_and_seed")
class SamplesAlike(ToyClusterer):
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        return super().sample(cluster, n, 1)


@breaks("samples_depend_only_on_cluster_and_seed")
class SamplesZeroAtRandom(ToyClusterer):
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        return super().sample(cluster, n, seed or int.from_bytes(os.urandom(4)))


@breaks("traversals_follow_one_line")
class TraversesFlat(ToyClusterer):
    def traverse(self, cluster: int, steps: int) -> Tensor:
        return super().traverse(cluster, steps).flatten()


@breaks("traversals_follow_one_line")
class StandsStill(ToyClusterer):
    def traverse(self, cluster: int, steps: int) -> Tensor:
        return super().traverse(cluster, 1).expand(steps, -1).contiguous()


@breaks("traversals_follow_one_line")
class ForgetsTheCluster(ToyClusterer):
    def traverse(self, cluster: int, steps: int) -> Tensor:
        return super().traverse(0, steps)


@breaks("traversals_follow_one_line")
class GoesAsFarAsTheSteps(ToyClusterer):
    def traverse(self, cluster: int, steps: int) -> Tensor:
        return super().traverse(cluster, 9)[:steps]


@breaks("traversals_follow_one_line")
class LosesItsWay(ToyClusterer):
    def traverse(self, cluster: int, steps: int) -> Tensor:
        line = super().traverse(cluster, steps)
        return line[torch.randperm(steps)]


@breaks("bounds_have_one_value_per_point")
class BoundsTheSum(ToyClusterer):
    def elbo(self, x: Tensor) -> Tensor:
        return super().elbo(x).sum()


@breaks("a_shared_network_gives_the_same_result")
class PretrainsWithTheSameNumbers(Toy):
    def __init__(self, config: Any, shape: Shape, seeds: Sequence[int], **options: Any) -> None:
        super().__init__(config, shape, seeds, **options)
        self.apart = self.draws


@breaks("pretraining_depends_only_on_its_settings")
class HidesASetting(Toy):
    def __init__(self, config: Any, shape: Shape, seeds: Sequence[int], **options: Any) -> None:
        super().__init__(config, shape, seeds, **options)
        self.apart.uniform(config.batch_size)
