"""The configuration of a review queue."""

from collections.abc import Mapping

from pydantic import BaseModel, Field, model_validator

from cl_spark.runs.config import RunConfig
from cl_spark.tables.location import holds_delta
from cl_spark.tasks.review_queue.sizes import check_options

EXPORTS = ("label_studio", "csv", "page")
"""Keys of the files that people review with."""


class QueueKeys(BaseModel):
    """The keys that say which rows people look at, and with what."""

    run_location: str = Field(
        description="Where the results of the audit are: its `output`, a directory or a catalog.schema"
    )
    run: str | None = Field(
        None,
        description="The run whose issues are reviewed: its run_id. Default: the latest with label issues",
    )
    budget: int = Field(ge=1, description="How many rows people can look at")
    per_class: int | None = Field(
        None,
        ge=1,
        description="At most so many issues of one given label are taken by rank; of sets of labels, so many "
        "of one class",
    )
    diversify_by: list[str] = Field(
        [],
        description="Columns of the table of issues, such as given_label or a review column, of sets of "
        "labels also class, whose values take turns, each with its worst issue that is left",
    )
    random_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the budget that is drawn at random from labels that are no issues, and again "
        "from issues that do not fit, so that precision and recall can be estimated",
    )
    seed: int = Field(0, description="Changes which random rows are drawn, and the order")
    label_studio: str | None = Field(
        None,
        description="File for the tasks of Label Studio, which ends in .json; the labelling configuration "
        "goes beside it as .xml",
    )
    csv: str | None = Field(None, description="File for the queue as CSV, to fill in")
    page: str | None = Field(None, description="File for the page to click through, as HTML")


class ReviewQueueConfig(RunConfig, QueueKeys):
    """The configuration of a review queue: which run is reviewed, how many rows, and where the queue goes.

    Every field is a YAML key, and a flag of the same name with dashes. Rows are never rejected.

    Raises:
        pydantic.ValidationError: a value does not fit.

    Example:
        >>> ReviewQueueConfig(run_location="./audits", budget=500, output="./audits").random_share
        0.1
    """

    @model_validator(mode="after")
    def _fits(self) -> "ReviewQueueConfig":
        check_options(self.budget, self.per_class, self.random_share)
        files = list(self.exports.values())
        if len(set(files)) < len(files):
            raise ValueError(f"{', '.join(EXPORTS)}: two of them name the same file: {', '.join(files)}")
        return self

    @property
    def exports(self) -> Mapping[str, str]:
        """The files that people review with, by their keys."""
        return {key: value for key in EXPORTS if (value := getattr(self, key)) is not None}

    @property
    def places(self) -> Mapping[str, str]:
        """Output, report and the files that people review with."""
        return {**super().places, **self.exports}

    @property
    def needs_delta(self) -> bool:
        """Tell whether results, or those of the audit in a directory of this machine, are Delta tables."""
        return super().needs_delta or holds_delta(f"{self.run_location.rstrip('/')}/runs")
