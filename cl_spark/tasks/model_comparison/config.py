"""The configuration of a comparison of models."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta
from cl_spark.tables.text_files import Roles

SOURCES = ("predictions", "labels", "corrected_labels")
"""Keys of the three inputs."""


class ComparisonOptions(BaseModel):
    """The keys that say which models are compared, on which labels, and how."""

    predictions: str = Field(
        description="Table of ids, models and probabilities, a row for each model and example: a path to "
        "Delta, Parquet, CSV or JSON lines, or a catalog table name"
    )
    labels: str = Field(
        description="Table of ids and given labels of all examples of the test set: a path or a catalog "
        "table name"
    )
    corrected_labels: str = Field(
        description="Table of ids and corrected labels of the reviewed examples: a path or a catalog table "
        "name. A null says that no label is right. Examples that it does not name keep their given label"
    )
    input_format: Literal["auto", "delta", "parquet", "csv", "json"] = Field(
        "auto",
        description="Format of `predictions` at a path: by what the files are called, or one of "
        "delta, parquet, csv, json",
    )
    model_col: str = Field("model", description="Column of the model's name in `predictions`")
    pred_probs_col: str = Field(
        "pred_probs",
        description="Column of predicted probabilities, or of scores of any scale: arrays of one number per "
        "class",
    )
    label_col: str = Field(
        "label", description="Column of given labels: class indices (numbers, booleans) or class names (text)"
    )
    corrected_col: str = Field(
        "corrected_label", description="Column of corrected labels: class indices or class names"
    )
    class_names: list[str] | None = Field(
        None,
        description="Names of the classes, in the order of the probabilities; needed where labels are names",
    )
    top_k: list[int] | None = Field(
        None,
        description="Numbers k: a prediction is correct if the label is among the k classes of highest "
        "probability. Default: 1 and 5",
    )
    prevalences: list[float] | None = Field(
        None,
        description="Noise prevalences at which models are compared, from the actual one up to 1. Default: "
        "20 at equal distances",
    )
    seed: int = Field(
        0, description="Changes which unchanged examples are removed first to raise the noise prevalence"
    )


class ModelComparisonConfig(RunConfig, ComparisonOptions):
    """The configuration of a comparison of models: their predictions, the labels, and where the results go.

    Every field is a YAML key, and a flag of the same name with dashes. Rows are never rejected: a model that
    lacks an example would be compared on another test set, so any row that cannot be used fails the run.

    Raises:
        pydantic.ValidationError: a value does not fit.

    Example:
        >>> tables = {"predictions": "./models", "labels": "./test", "corrected_labels": "./corrected"}
        >>> ModelComparisonConfig(**tables, output="./compared").corrected_col
        'corrected_label'
    """

    @property
    def comparison_arguments(self) -> dict[str, Any]:
        """The arguments of `benchmark_models` beside the tables; those that were not given are left out."""
        names = ("id_col", "model_col", "pred_probs_col", "label_col", "corrected_col", "class_names",
                 "top_k", "prevalences", "seed")  # fmt: skip
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def roles(self) -> Mapping[str, Roles]:
        """Roles of the columns of each input, by its key."""
        ids, names = tuple(self.id_col), tuple(self.class_names or ())
        return {
            "predictions": Roles(ids=ids, probs=(self.pred_probs_col,), others=(self.model_col,)),
            "labels": Roles(ids=ids, label=self.label_col, class_names=names),
            "corrected_labels": Roles(ids=ids, label=self.corrected_col, class_names=names),
        }

    @property
    def sources(self) -> Mapping[str, str]:
        """Predictions, labels and corrected labels."""
        return {key: getattr(self, key) for key in SOURCES}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or an input at a path of this machine, are Delta tables."""
        return super().needs_delta or any(map(holds_delta, self.sources.values()))
