"""The configuration of a token audit."""

from typing import Any, Literal

from pydantic import Field, computed_field, model_validator

from cl_spark.methods.tokens.sentences import CONTEXT, POSITION, TOKEN
from cl_spark.tables.text_files import Roles
from cl_spark.tasks.label_audit.config import TASK_DESCRIPTION, SourceConfig, SourceOptions


class TokenOptions(SourceOptions):
    """The keys of a token audit alone: what the columns of its input mean."""

    task: Literal["tokens"] = Field(
        "tokens",
        description=TASK_DESCRIPTION,
    )
    tokens_col: str = Field(
        "tokens", description="Column of the texts of tokens: an array, or the text of a row per token"
    )
    labels_col: str = Field(
        "labels",
        description="Column of given labels: an array of class indices or names, or the label of a row per "
        "token",
    )
    position_col: str | None = Field(
        None, description="Of a row per token: column of the token's place in its sentence, a whole number"
    )
    pred_probs_col: list[str] = Field(
        ["pred_probs"],
        min_length=1,
        description="Column of predicted probabilities: an array of arrays, one of each token, or those of a "
        "row per token, also as several columns, one per class",
    )
    scheme: Literal["BIO", "BIOES"] | None = Field(
        None, description="Scheme of the tags: BIO or BIOES, by which entities are found"
    )
    merge_tags: bool = Field(
        False, description="Make one class of the tags of each kind of entity: B-PER and I-PER become PER"
    )
    merge_classes: dict[str, str] = Field(
        {}, description="New names of classes: those of one name become one class"
    )


class TokenAuditConfig(SourceConfig, TokenOptions):
    """The configuration of an audit of tokens: a table of sentences, what its columns mean, where results go.

    Every field is a YAML key, and a flag of `cl-spark audit --task tokens`.

    Raises:
        pydantic.ValidationError: a value does not fit, or values contradict each other.

    Example:
        >>> TokenAuditConfig(task="tokens", predictions="/lake/sentences", output="/lake/audits").example_ids
        ['id', 'position', 'token']
    """

    review_columns: list[str] = Field(
        [CONTEXT],
        description="Columns copied to `issues` for the people who review them: context, which shows the "
        "token in brackets among those around it, and columns of the input",
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_computed(cls, values: Any) -> Any:
        """Drop what a recorded configuration holds beside its keys."""
        if isinstance(values, dict) and values.get("example_ids", [])[-2:] == [POSITION, TOKEN]:
            return {key: value for key, value in values.items() if key != "example_ids"}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> "TokenAuditConfig":
        if self.predictions is None:
            raise ValueError("predictions: needed; a path or table name")
        if self.merge_tags and self.merge_classes:
            raise ValueError("merge_tags: goes without merge_classes")
        if self.merge_tags and self.scheme is None:
            raise ValueError("merge_tags: needs scheme: BIO or BIOES")
        return self

    @computed_field  # type: ignore[prop-decorator]  # in `runs` it tells how to find the rows of results
    @property
    def example_ids(self) -> list[str]:
        """The columns that tell tokens apart."""
        return [*self.id_col, POSITION, TOKEN]

    @property
    def sentence_arguments(self) -> dict[str, Any]:
        """The arguments of `Sentences`: what the columns of the input mean."""
        names = ("id_col", "tokens_col", "labels_col", "position_col", "class_names", "scheme", "slice_by")
        probs = self.pred_probs_col
        return {name: getattr(self, name) for name in names} | {
            "pred_probs_col": probs[0] if len(probs) == 1 else probs,
            "merge_classes": True if self.merge_tags else self.merge_classes or None,
        }

    @property
    def input_arguments(self) -> dict[str, Any]:
        """The arguments of `TokenAudit`."""
        more = {"check_ids": self.check_ids, "evidence_path": self.evidence_path}
        return self.sentence_arguments | more

    @property
    def roles(self) -> Roles:
        """Roles of the columns of the input."""
        probs = tuple(self.pred_probs_col)
        others = (self.tokens_col, *self.slice_by, *(col for col in self.review_columns if col != CONTEXT))
        if self.position_col is None:
            return Roles(tuple(self.id_col), others=(self.labels_col, *probs, *others))
        return Roles(
            ids=(*self.id_col, self.position_col),
            label=self.labels_col,
            probs=probs,
            others=others,
            class_names=tuple(self.class_names or (probs if len(probs) > 1 else ())),
        )
