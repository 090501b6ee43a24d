"""The checks that a method must pass, by its capabilities."""

from collections.abc import Callable, Mapping

from ..methods.contract import (
    Bounds,
    Decodes,
    Generates,
    Method,
    Pretrains,
    Random,
    Trains,
    Traverses,
)
from . import outputs, pretraining, recording, selection, training
from .subject import Subject

Check = Callable[[Subject], None]

CHECKS: Mapping[type, tuple[Check, ...]] = {
    Method: (
        training.config_survives_a_json_round_trip,
        training.capping_shortens_training,
        training.reports_are_well_formed,
        training.metric_info_describes_reported_metrics,
        training.fit_takes_only_points_and_leaves_them_unchanged,
        training.global_random_state_is_unchanged,
        training.any_number_of_points_works,
        training.a_constant_feature_is_harmless,
        training.points_can_have_any_shape,
        training.intermediate_results_do_not_affect_training,
        training.training_resumes_exactly,
        training.a_state_is_a_copy,
        training.weights_exist_before_training,
        training.replicas_are_independent,
        selection.selected_replicas_continue,
        outputs.predictions_are_log_probabilities,
        outputs.codes_have_one_row_per_point,
        outputs.outputs_do_not_depend_on_the_batch,
        outputs.a_single_point_can_be_predicted,
        outputs.clusterers_agree_with_their_method,
        outputs.clusterers_are_detached_from_training,
        outputs.clusterers_can_be_saved_and_loaded,
        outputs.separated_blobs_are_found,
    ),
    Random: (training.the_seed_determines_the_result,),
    Trains: (
        training.gradients_reach_every_parameter,
        training.divergence_does_not_raise,
        recording.recorded_steps_equal_called_ones,
    ),
    Pretrains: (
        pretraining.a_shared_network_gives_the_same_result,
        pretraining.pretraining_depends_only_on_its_settings,
    ),
    Decodes: (outputs.reconstructions_have_the_shape_of_points,),
    Generates: (outputs.samples_depend_only_on_cluster_and_seed,),
    Traverses: (outputs.traversals_follow_one_line,),
    Bounds: (outputs.bounds_have_one_value_per_point,),
}


def checks(subject: Subject) -> list[Check]:
    """Return the checks for the capabilities of a subject's method and clusterer."""
    kinds = (subject.method, subject.method.clusterer_of(subject.config))
    return [
        check
        for capability, required in CHECKS.items()
        if any(issubclass(kind, capability) for kind in kinds)
        for check in required
    ]


def check_method(name: str, *, device: str = "cpu") -> None:
    """Raise AssertionError unless the named method passes all its checks."""
    for subject in Subject.variants_of(name, device=device).values():
        for check in checks(subject):
            check(subject)
