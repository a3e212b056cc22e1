"""Which correction a table still holds, after undoing and restoring."""

from typing import Any

import pytest

from cl_spark.methods.review.applied_runs import correction_mark, replay, undo_mark
from cl_spark.tables.delta_table import Commit

MADE, UNDONE = correction_mark("june"), undo_mark("june")


@pytest.mark.parametrize(
    ("commits", "version"),
    [
        ([], None),
        ([(3, MADE, None)], 3),
        ([(3, MADE, None), (5, UNDONE, None)], None),
        ([(3, MADE, None), (5, UNDONE, None), (6, MADE, None)], 6),
        ([(3, MADE, None), (4, None, 2)], None),
        ([(3, MADE, None), (4, None, 2), (5, None, 3)], 3),
        ([(3, MADE, None), (4, None, 2), (5, MADE, None), (6, None, 4)], None),
        ([(3, MADE, None), (9, None, 7)], 3),
        ([(3, MADE, None), (5, UNDONE, None), (9, None, 4)], 3),
        ([(9, None, 2)], None),
        ([(3, MADE, None), (9, None, None, True)], 3),  # the rows tell, not the history
        ([(3, MADE, None), (4, None, None, True), (5, None, 2)], None),
    ],
)
def test_the_commits_tell_the_version_of_the_correction(
    commits: list[tuple[Any, ...]], version: int | None
) -> None:
    assert replay([Commit(*commit) for commit in commits], MADE) == version


def test_no_mark_is_part_of_another() -> None:
    assert correction_mark("june") not in correction_mark("june-2")
    assert correction_mark("2-june") not in undo_mark("2-june")
