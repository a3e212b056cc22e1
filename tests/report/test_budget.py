"""What a page takes of the values of rows."""

import base64
from datetime import datetime, timezone

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark.report import budget
from cl_spark.report.budget import LEFT_OUT, limit_bytes, show_cells, tell_left_out

pytestmark = pytest.mark.matrix


def test_images_beyond_the_bytes_of_a_page_are_left_out(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "PAGE_BYTES", 4_000)
    image = b"\x89PNG\r\n\x1a\n" + b"x" * 892
    large = b"\x89PNG\r\n\x1a\n" + b"x" * 1_000
    text = base64.b64encode(image).decode()
    rows = [
        (1, image, "a text", (image, "path"), [1, 2]),
        (2, large, "b" * 5_000, (None, "path"), None),
        (3, image, "iVBORw0KGgo" + text[11:300], None, [3]),
        (4, image, "c", (image, "path"), []),
        (5, image, "d", None, []),
    ]
    schema = (
        "rank long, `the image` binary, text string, "
        "nested struct<bytes: binary, path: string>, more array<int>"
    )
    df = spark.createDataFrame(rows, schema).repartition(2)  # type: ignore[type-var]
    media = ["the image", "text", "nested", "more"]
    found = {row["rank"]: row for row in limit_bytes(df, media, "rank").collect()}
    assert {rank: row["the image"] for rank, row in found.items()} == {
        1: bytearray(image), 2: None, 3: bytearray(image), 4: None, 5: None,
    }  # fmt: skip
    assert {rank: row[LEFT_OUT + "the image"] for rank, row in found.items()} == {
        1: None, 2: 1_008, 3: None, 4: 900, 5: 900,
    }  # fmt: skip
    assert found[2].text == "b" * 2_000
    assert found[3].text == rows[2][2]
    assert (found[1].nested.path, found[4].nested) == ("path", None)
    assert (found[1].more, found[4][LEFT_OUT + "more"]) == ("[1, 2]", None)


def test_a_page_says_what_it_left_out() -> None:
    rows = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "image": [None, b"GIF89a", None],
            LEFT_OUT + "image": [2_000, None, 3_000],
            "text": ["a", "b", "c"],
            LEFT_OUT + "text": [None, None, None],
        }
    )
    assert show_cells(rows, "image") == [
        {"text": "2,000 bytes, left out"},
        {"image": "data:image/gif;base64,R0lGODlh"},
        {"text": "3,000 bytes, left out"},
    ]
    assert tell_left_out(rows, ["image", "text"], "issues") == [
        "2 images are left out: the page takes 16 MB of them, and at most 4 MB of each. They are in the "
        "table issues."
    ]
    assert tell_left_out(rows, ["text"], "issues") == []


def test_times_say_their_offset(spark: SparkSession) -> None:
    df = spark.createDataFrame(
        [(1, datetime(2026, 1, 31, 2, tzinfo=timezone.utc))], "rank long, seen timestamp"
    )
    for media in ([], ["seen"]):
        assert limit_bytes(df, media, "rank").first().seen.endswith(("Z", "+00:00"))  # type: ignore[union-attr]
