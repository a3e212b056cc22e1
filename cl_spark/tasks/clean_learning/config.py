"""The configuration of learning with noisy labels."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from cl_spark.classification.filters import PRUNING
from cl_spark.tables.location import is_path
from cl_spark.tasks.cross_validation.config import CrossValidationConfig


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
        "models/<run_id> below `output`, where that is a path",
    )

    @model_validator(mode="after")
    def _has_place_for_model(self) -> "CleanLearningConfig":
        if self.model_path is None and self.output is not None and not is_path(self.output):
            raise ValueError(
                "model_path: the directory to save the model to; needed where output is a schema"
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
