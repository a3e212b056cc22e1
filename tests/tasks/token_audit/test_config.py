"""The configuration of a token audit: what it says of the columns of a text file."""

import pytest

from cl_spark.tasks.token_audit.config import TokenAuditConfig


@pytest.mark.parametrize(
    ("pred_probs_col", "class_names", "expected"),
    [
        (["1", "2", "3"], None, ("1", "2", "3")),
        (["1", "2"], ["O", "PER"], ("O", "PER")),
        (["probs"], None, ()),
    ],
)
def test_columns_of_classes_name_the_classes(
    pred_probs_col: list[str], class_names: list[str] | None, expected: tuple[str, ...]
) -> None:
    """Labels of a CSV file that are such names stay text, and do not become class indices."""
    config = TokenAuditConfig(
        predictions="./tokens.csv", output="./audits", position_col="place", pred_probs_col=pred_probs_col,
        class_names=class_names,
    )  # fmt: skip
    assert config.roles.class_names == expected
