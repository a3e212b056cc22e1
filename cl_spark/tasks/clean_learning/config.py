"""The configuration of learning with noisy labels."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from cl_spark.methods.classification.filters import PRUNING
from cl_spark.tables.location import is_path
from cl_spark.tasks.cross_validation.config import CrossValidationConfig

_OF_FILTERS = (
    "filter_by",
    "rank_by",
    "adjust_pred_probs",
    "frac_noise",
    "num_to_remove_per_class",
    "min_examples_per_class",
    "num_issues",
)
"""Keys that choose the filter or the rank of issues."""


class CleanLearningConfig(CrossValidationConfig):
    """The configuration of learning with noisy labels: what a model is trained on, what is done about label
    issues, and where the results and the model go.

    Every field is a YAML key, and a flag of the same name with dashes.

    Raises:
        pydantic.ValidationError: a value does not fit, or values contradict each other.

    Example:
        >>> path = "sklearn.linear_model.LogisticRegression"
        >>> CleanLearningConfig(data="./digits", estimator=path, output="./learned").how
        'prune'
    """

    method: Literal["confident_learning", "incv"] = Field(
        "confident_learning",
        description="How label issues are found: confident_learning, or incv (iterative noisy "
        "cross-validation), which trains up to eight more models and has no filter",
    )
    how: Literal["prune", "reweight", "relabel"] = Field(
        "prune",
        description="What is done about label issues: they are left out, all examples are weighed, or "
        "issues get the suggested label",
    )
    min_examples_per_class: int = Field(
        10, ge=0, description="Examples that pruning leaves every class; smaller classes are not pruned"
    )
    model_path: str | None = Field(
        None,
        description="Directory that the trained model is saved to, for `CleanLearningModel.load`. Default: "
        "one of its own below models/<run_id> in `output`, where that is a path",
    )

    @model_validator(mode="after")
    def _has_place_for_model(self) -> "CleanLearningConfig":
        if self.model_path is None and self.output is not None and not is_path(self.output):
            raise ValueError(
                "model_path: the directory to save the model to; needed where output is a schema"
            )
        return self

    @model_validator(mode="after")
    def _goes_with_method(self) -> "CleanLearningConfig":
        if self.method != "incv":
            return self
        fields = type(self).model_fields
        wrong = [name for name in _OF_FILTERS if getattr(self, name) != fields[name].default]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)}: method incv has no such option: leave out what belongs to a filter"
            )
        if self.how == "reweight":
            raise ValueError(
                "how: reweight follows from noise rates, which method incv does not estimate; "
                "choose prune or relabel"
            )
        return self

    @property
    def filter_arguments(self) -> dict[str, Any]:
        """The arguments of `LabelAudit.find_label_issues`; the default of an option that only pruning has
        goes with pruning only.
        """
        arguments = super().filter_arguments
        if self.filter_by not in PRUNING and "min_examples_per_class" not in self.model_fields_set:
            del arguments["min_examples_per_class"]
        return arguments

    @property
    def places(self) -> Mapping[str, str]:
        """Output, report, evidence, and the model."""
        model = {} if self.model_path is None else {"model_path": self.model_path}
        return {**super().places, **model}
