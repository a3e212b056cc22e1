"""The configuration of verdicts."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from cl_spark.methods.review import columns as q
from cl_spark.methods.review.answer_checks import list_answer_names
from cl_spark.methods.review.verdicts import QUORUM
from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta
from cl_spark.tables.text_files import Roles


class VerdictKeys(BaseModel):
    """The keys that say whose answers decide about which rows, and how."""

    run_location: str = Field(
        description="Where the results of `review` are (its `output`), or those of an audit all of whose "
        "issues were looked at"
    )
    run: str | None = Field(
        None,
        description="The run whose rows were asked about: its run_id. Default: the latest review queue, or "
        "without one, the latest run with label issues",
    )
    answers: list[str] = Field(
        min_length=1,
        description="The answers: files that the page or a spreadsheet saved (CSV), exports of Label Studio, "
        "or one table of ids, annotator and answer (a path or a catalog table name)",
    )
    answers_format: Literal["auto", "table", "csv", "label_studio"] = Field(
        "auto",
        description="What `answers` are: csv, label_studio, or a table; auto takes files that end in .csv "
        "for csv, refuses .json, which may be either, and takes all else for a table",
    )
    annotator_col: str = Field(q.ANNOTATOR, description="Column of the annotator, in a table of answers")
    answer_col: str = Field(q.ANSWER, description="Column of the answer, in a table of answers")
    answer_names: dict[str, str] = Field(
        default_factory=dict,
        description="Other names of answers, each with one of given, suggested, both, neither, or of single "
        "labels present, absent",
    )
    quorum: int = Field(QUORUM, ge=1, description="Votes for one answer that decide")
    num_reviewers: int | None = Field(
        None,
        ge=1,
        description="Answers that each row gets in the end: undecided rows with fewer are pending. Default: "
        "quorum",
    )
    annotator_quality: str | None = Field(
        None,
        description="Table of annotator and quality, by which votes are weighted: a path or a catalog table "
        "name. Default: all votes weigh the same",
    )


class VerdictsConfig(RunConfig, VerdictKeys):
    """The configuration of verdicts: which answers decide about which queue, and where the verdicts go.

    Every field is a YAML key, and a flag of the same name with dashes.

    Raises:
        pydantic.ValidationError: a value does not fit.

    Example:
        >>> VerdictsConfig(run_location="./audits", answers="./ann.csv", output="./audits").answers
        ['./ann.csv']
    """

    @model_validator(mode="after")
    def _fits(self) -> "VerdictsConfig":
        list_answer_names(self.answer_names)
        if self.num_reviewers is not None and self.num_reviewers < self.quorum:
            raise ValueError(
                f"num_reviewers: {self.num_reviewers} never give {self.quorum} equal answers (quorum)"
            )
        if self.kind == "table" and len(self.answers) > 1:
            raise ValueError("answers: several files are CSV or exports of Label Studio; a table is one")
        return self

    @property
    def kind(self) -> str:
        """Kind of the answers: "table", "csv" or "label_studio"."""
        if self.answers_format != "auto":
            return self.answers_format
        return "csv" if all(name.lower().endswith(".csv") for name in self.answers) else "table"

    @property
    def roles(self) -> Roles:
        """Roles of the columns of a table of answers."""
        return Roles(ids=tuple(self.id_col), others=(self.annotator_col, self.answer_col))

    @property
    def sources(self) -> Mapping[str, str]:
        """Answers and qualities of annotators."""
        answers = {f"answers[{i}]" if i else "answers": name for i, name in enumerate(self.answers)}
        quality = {} if self.annotator_quality is None else {"annotator_quality": self.annotator_quality}
        return {**answers, **quality}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or an input in a directory of this machine, are Delta tables."""
        inputs = (f"{self.run_location.rstrip('/')}/runs", *self.sources.values())
        return super().needs_delta or any(map(holds_delta, inputs))
