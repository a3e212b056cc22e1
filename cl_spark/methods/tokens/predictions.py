"""The tokens of sentences as predictions: what `LabelAudit` reads, under names that the user knows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import Column, DataFrame

from cl_spark.evidence.predictions import Predictions
from cl_spark.methods.tokens.sentences import LABEL, PROBS, Sentences


@dataclass(frozen=True)
class TokenPredictions(Predictions):
    """The tokens of sentences, labels and probabilities of which have names of our own.

    Messages name the arguments of `TokenAudit`, and the columns of its input.

    Attributes:
        sentences: the sentences.
        check_sentence_ids: look for ids that several sentences share, at the first question.
        persist: persists a DataFrame that is read several times.
    """

    sentences: Sentences = field(kw_only=True)
    check_sentence_ids: bool = field(kw_only=True)
    persist: Callable[[DataFrame], DataFrame] = field(kw_only=True)

    @cached_property
    def rows(self) -> DataFrame:
        """A row per token; sentences that share an id are rejected, which a scan of the ids tells.

        Without such ids no sentence is shuffled.
        """
        repeated = self.sentences.find_repeated_ids(self.persist) if self.check_sentence_ids else None
        return self.df if repeated is None else self.sentences.select_tokens(repeated)

    @property
    def label_option(self) -> str:
        """Name of the option that names the label column."""
        return "labels_col"

    def input_name(self, col: str) -> str:
        """Name of a column in the input."""
        own = {LABEL: self.sentences.labels_col, PROBS: ", ".join(self.sentences.prob_columns)}
        return own.get(col, col)

    def _select_row(self) -> Column:
        """Select the token, or the whole sentence that cannot be used, as JSON."""
        return self.sentences.select_row()
