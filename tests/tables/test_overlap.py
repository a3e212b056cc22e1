"""Locations that overlap."""

from pathlib import Path

import pytest

from cl_spark.errors import ConfigurationError
from cl_spark.tables.overlap import check_apart, overlap


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("/lake/p", "/lake/p"),
        ("/lake/p", "/lake/p/"),
        ("/lake/p", "/lake/p/audits"),
        ("/lake/p/day=1", "/lake/p"),
        ("/lake/p", "file:///lake/p/audits"),
        ("file:/lake/p", "/lake/x/../p/audits"),
        ("/lake/day=*/part", "/lake/day=3/part/audits"),
        ("/lake/{a,b}", "/lake/a"),
        ("/lake/{a/x,b{1,2}}/part", "/lake/b2"),
        ("/lake/[^b]", "/lake/a/audits"),
        ("/lake/[!b]?", "/lake/ab"),
        ("/lake/run\\[1\\]", "/lake/run[1]"),
        ("/lake/run[1]", "/lake/run[1]/audits"),
        ("/lake/{a,b}", "/lake/{a,b}/audits"),
        ("s3://bucket/p", "s3://bucket/p/audits"),
        ("./p", "p/audits"),
        ("`main`.audits.issues", "Main.Audits.issues"),
    ],
)
def test_the_same_place_and_one_within_the_other_overlap(source: str, place: str) -> None:
    assert overlap(source, place)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("/lake/p", "/lake/p_audits"),
        ("/lake/day=*/part", "/lake/audits"),
        ("/lake/{a,b}", "/lake/c"),
        ("/lake/[^b]", "/lake/b"),
        ("/lake/run\\*", "/lake/run1"),
        ("/lake/[z-a]", "/lake/z"),
        ("s3://bucket/p", "s3://other/p"),
        ("s3://bucket/p", "/p"),
        ("main.audits.predictions", "main.audits.issues"),
        ("main.audits.predictions", "./main"),
    ],
)
def test_places_beside_each_other_do_not(source: str, place: str) -> None:
    assert not overlap(source, place)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(ConfigurationError, match=r"^output: .* and labels .* choose another output"):
        check_apart("labels", str(tmp_path / "data"), "output", str(tmp_path / "link" / "audits"))
