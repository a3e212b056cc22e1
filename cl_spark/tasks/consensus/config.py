"""The configuration of a consensus of several annotators."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta
from cl_spark.tables.text_files import Roles

SOURCES = ("annotations", "predictions", "gold")
"""Keys of the inputs."""


class ConsensusOptions(BaseModel):
    """The keys that say which annotations are compared, and how."""

    annotations: str = Field(
        description="Table of ids, annotators and labels, a row for each label that an annotator gave: a "
        "path to Delta, Parquet, CSV or JSON lines, or a catalog table name"
    )
    predictions: str | None = Field(
        None,
        description="Table of ids and out-of-sample predicted probabilities, a row for each example: a path "
        "or a catalog table name. Examples without annotations are scored for active learning",
    )
    gold: str | None = Field(
        None,
        description="Table of ids and right labels of some examples, in the columns of `annotations`: a path "
        "or a catalog table name",
    )
    input_format: Literal["auto", "delta", "parquet", "csv", "json"] = Field(
        "auto",
        description="Format of `annotations` at a path: by what the files are called, or one of "
        "delta, parquet, csv, json",
    )
    annotator_col: str = Field("annotator", description="Column of the annotator")
    label_col: str = Field(
        "label", description="Column of the label: class indices (numbers, booleans) or class names (text)"
    )
    pred_probs_col: list[str] = Field(
        ["pred_probs"],
        min_length=1,
        description="Column of predicted probabilities: arrays of one number per class; several such "
        "columns, one for each model; or a column per class",
    )
    class_names: list[str] | None = Field(
        None,
        description="Names of the classes, in the order of the probabilities; needed where labels are names "
        "and there are predictions",
    )
    num_classes: int | None = Field(None, ge=2, description="K, where nothing else tells it")
    consensus_method: Literal["best_quality", "majority_vote", "dawid_skene"] = Field(
        "best_quality",
        description="How the consensus is found: best_quality (CROWDLAB), majority_vote or dawid_skene",
    )
    calibrate: bool = Field(
        False,
        description="Scale the probabilities first by the temperature that fits the shares of the votes best",
    )
    evidence_path: str | None = Field(
        None, description="Directory for what is kept between queries, where Spark refuses to cache"
    )


class ConsensusConfig(RunConfig, ConsensusOptions):
    """The configuration of a consensus: annotations, predictions, and where the results go.

    Every field is a YAML key, and a flag of the same name with dashes.

    Raises:
        pydantic.ValidationError: a value does not fit.

    Example:
        >>> ConsensusConfig(annotations="./annotations", output="./consensus").consensus_method
        'best_quality'
    """

    @property
    def audit_arguments(self) -> dict[str, Any]:
        """The arguments of `AnnotatorAudit` beside the tables."""
        names = ("id_col", "annotator_col", "label_col", "class_names", "num_classes", "consensus_method",
                 "calibrate", "evidence_path")  # fmt: skip
        cols = self.pred_probs_col
        return {
            **{name: getattr(self, name) for name in names},
            "pred_probs_col": cols[0] if len(cols) == 1 else cols,
        }

    @property
    def roles(self) -> Mapping[str, Roles]:
        """Roles of the columns of each input, by its key."""
        ids, names = tuple(self.id_col), tuple(self.class_names or ())
        return {
            "annotations": Roles(
                ids=ids, label=self.label_col, others=(self.annotator_col,), class_names=names
            ),
            "predictions": Roles(ids=ids, probs=tuple(self.pred_probs_col), class_names=names),
            "gold": Roles(ids=ids, label=self.label_col, class_names=names),
        }

    @property
    def sources(self) -> Mapping[str, str]:
        """Annotations, and predictions and gold answers where there are some."""
        return {key: getattr(self, key) for key in SOURCES if getattr(self, key) is not None}

    @property
    def places(self) -> Mapping[str, str]:
        """The places that the run writes to."""
        evidence = {} if self.evidence_path is None else {"evidence_path": self.evidence_path}
        return {**super().places, **evidence}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or an input at a path of this machine, are Delta tables."""
        return super().needs_delta or any(map(holds_delta, self.sources.values()))
