"""Times of the machine's zone, said in UTC."""

import time
from datetime import datetime, timezone

import pytest

from cl_spark.tables.times import in_utc


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_same_moment_is_said_alike_whatever_zone_the_machine_is_in(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 1, 31, 2, tzinfo=timezone.utc)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        naive = datetime.fromtimestamp(moment.timestamp())  # as Spark returns it
        assert in_utc(naive).isoformat() == in_utc(moment).isoformat() == "2026-01-31T02:00:00+00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
