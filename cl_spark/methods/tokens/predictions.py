"""The tokens of sentences as predictions: what `LabelAudit` reads, under names that the user knows."""

from dataclasses import dataclass

from cl_spark.evidence.predictions import Predictions
from cl_spark.methods.tokens.sentences import LABEL, PROBS


@dataclass(frozen=True)
class TokenPredictions(Predictions):
    """The tokens of sentences, labels and probabilities of which have names of our own.

    Messages name the arguments of `TokenAudit`, and the columns of its input.

    Attributes:
        labels_name: column of labels in the input.
        probs_name: columns of probabilities in the input, as messages name them.
    """

    labels_name: str = LABEL
    probs_name: str = PROBS

    @property
    def label_option(self) -> str:
        """Name of the option that names the label column."""
        return "labels_col"

    def input_name(self, col: str) -> str:
        """Name of a column in the input."""
        return {LABEL: self.labels_name, PROBS: self.probs_name}.get(col, col)
