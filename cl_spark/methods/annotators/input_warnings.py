"""Doubts about annotations, predictions and gold answers, each with what to do."""

import math

from cl_spark.errors import one_line
from cl_spark.evidence.validity import RejectionReason, explain_rejection
from cl_spark.methods.annotators.annotations import Annotations
from cl_spark.methods.annotators.trust import AgreementCounts
from cl_spark.methods.annotators.votes import VoteCounts
from cl_spark.tables.schema import RunWarning

DEVIATIONS = 2
"""Standard deviations by which agreement has to be below chance to be doubtful."""


def warn_of_no_shared_examples(counts: VoteCounts, *, models_judge: bool) -> RunWarning:
    """Warn that no example has annotations by two annotators.

    Args:
        counts: numbers of rows.
        models_judge: labels are judged by the models alone, as CROWDLAB does.
    """
    outcome, lacking = "", counts.num_examples - counts.num_predicted
    if models_judge:
        outcome = ", the consensus is the given label, and its quality the model's probability"
        if lacking:
            outcome += f" (1 for the {lacking:,} examples without a prediction, which tells nothing)"
    return RunWarning(
        "no_shared_examples",
        "no example has annotations by two annotators: nothing but the model tells how good they "
        f"are{outcome}. Let some examples be labelled twice",
    )


def warn_of_disagreement(agreement: AgreementCounts, num_classes: int) -> RunWarning | None:
    """Warn of annotators who agree less than by chance."""
    if not agreement.num_shared or agreement.mean_agreement >= 1 / num_classes:
        return None
    return RunWarning(
        "annotators_disagree",
        f"annotators agree with the consensus in {agreement.mean_agreement:.1%} of the annotations of an "
        "example, which is less than by chance: are ids and labels those of the same examples?",
    )


def warn_of_models(agreement: AgreementCounts, num_classes: int) -> RunWarning | None:
    """Warn of models about which nothing tells, or which agree with the consensus less than by chance."""
    if agreement.num_shared and len(agreement.model_examples) and not agreement.model_examples.any():
        return RunWarning(
            "predictions_unused",
            "no example with several annotations has a prediction that can be used: nothing tells how good "
            "the model is, and it counts for next to nothing. Are the ids of the predictions right, and each "
            "there once?",
        )
    for examples, errors in zip(agreement.model_examples, agreement.model_errors, strict=True):
        agreed, by_chance = int(examples - errors), examples / num_classes
        if agreed < by_chance - DEVIATIONS * math.sqrt(by_chance):
            return RunWarning(
                "model_disagrees",
                f"a model predicts the consensus of {agreed:,} of {int(examples):,} examples, which is less "
                "than by chance: are ids, labels (from 0 on) and the order of the classes right?",
            )
    return None


def warn_of_one_based_labels(
    counts: VoteCounts, agreement: AgreementCounts, annotations: Annotations, *, greatest_tells: bool
) -> RunWarning | None:
    """Warn of class indices that seem to count from 1.

    Args:
        counts: numbers of rows.
        agreement: how often each class is voted for.
        annotations: the annotations.
        greatest_tells: K is the greatest label + 1, as nothing else tells it.
    """
    reason = explain_rejection(RejectionReason.LABEL_OUT_OF_RANGE)
    outside = counts.rejected_annotations.get(reason, 0)
    if not annotations.labels_are_numbers or agreement.class_votes[0] or not (outside or greatest_tells):
        return None
    rejected = f", and {outside:,} are no class of those from 0 on" if outside else ""
    return RunWarning(
        "labels_one_based",
        f"labels look 1-based: none is 0{rejected}. Indices count from 0: subtract 1 from column "
        f"{one_line(annotations.label_col)!r}, or pass num_classes if it is right",
    )


def warn_of_gold(counts: VoteCounts) -> RunWarning | None:
    """Warn of gold answers of other examples."""
    if counts.num_gold:
        return None
    return RunWarning("gold_unused", "no gold answer is of an example with annotations: are the ids right?")


def warn_of_unsettled_search(num_passes: int) -> RunWarning:
    """Warn of a search of Dawid-Skene that ended early."""
    return RunWarning(
        "dawid_skene_unsettled",
        f"Dawid-Skene has not settled in {num_passes} passes: read its results with care, or take "
        "consensus_method best_quality",
    )
