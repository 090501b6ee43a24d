"""Which checks a method has to pass: those of every method and those of its capabilities."""

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
from . import answers, pretraining, training
from .subject import Subject

Check = Callable[[Subject], None]

CHECKS: Mapping[type, tuple[Check, ...]] = {
    Method: (
        training.settings_survive_a_round_trip,
        training.capping_shortens_the_training,
        training.reports_count_passes,
        training.curves_are_of_reported_metrics,
        training.fit_sees_points_alone,
        training.global_randomness_is_untouched,
        training.any_number_of_points_trains,
        training.a_constant_feature_breaks_nothing,
        training.points_keep_their_shape,
        training.asking_changes_nothing,
        training.a_stopped_training_goes_on_exactly,
        training.a_state_stands_still,
        training.weights_exist_from_the_start,
        training.together_equals_alone,
        answers.answers_are_log_probabilities,
        answers.codes_have_one_row_per_point,
        answers.answers_depend_on_the_point_alone,
        answers.a_single_point_is_predicted,
        answers.clusterers_answer_as_their_method,
        answers.clusterers_are_detached_from_training,
        answers.clusterers_survive_a_file,
        answers.separated_blobs_are_found,
    ),
    Random: (training.the_seed_decides,),
    Trains: (training.gradients_reach_every_parameter, training.divergence_is_an_outcome),
    Pretrains: (
        pretraining.a_network_taken_over_equals_the_own,
        pretraining.pretraining_depends_on_its_settings_alone,
    ),
    Decodes: (answers.reconstructions_look_like_points,),
    Generates: (answers.samples_follow_their_seed,),
    Traverses: (answers.traversals_are_lines,),
    Bounds: (answers.bounds_are_one_number_per_point,),
}


def checks(subject: Subject) -> list[Check]:
    """Return the checks that a subject has to pass, by what method and clusterer can do."""
    kinds = (subject.method, subject.method.clusterer_of(subject.config))
    return [
        check
        for capability, wanted in CHECKS.items()
        if any(issubclass(kind, capability) for kind in kinds)
        for check in wanted
    ]


def check_method(name: str, *, device: str = "cpu") -> None:
    """Raise AssertionError with a sentence unless the named method keeps the contract."""
    for subject in Subject.each_of(name, device=device).values():
        for check in checks(subject):
            check(subject)
