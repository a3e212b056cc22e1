"""Steps of a run: told as they begin, timed when they end, and lines of the log under the run's name."""

import pytest

from cl_spark.runs import steps as module
from cl_spark.runs.steps import Steps


def test_a_step_is_told_when_it_begins_and_timed_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    told: list[str] = []
    steps = Steps(told.append)
    with steps("scanning"):
        assert told == ["scanning"]
        assert steps.seconds == {}
    assert steps.seconds == {"scanning": 2.5}


def test_a_step_that_fails_is_timed_too_and_fails() -> None:
    steps = Steps()
    with steps("first"):
        pass
    with pytest.raises(ValueError, match="broken"), steps("second"):
        raise ValueError("broken")
    assert list(steps.seconds) == ["first", "second"]


def test_lines_of_the_log_carry_the_name_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps(run_id="r7")
    with caplog.at_level("INFO", logger="cl_spark.runs.steps"), steps("writing"):
        steps.log("2 rows")
    assert [record.getMessage() for record in caplog.records] == ["run r7: writing ...", "run r7: 2 rows"]
    assert {record.run_id for record in caplog.records} == {"r7"}
