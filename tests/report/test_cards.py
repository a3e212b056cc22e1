"""Cards of rows: what is looked at, and what stands in the caption."""

import pandas as pd

from cl_spark.report.budget import LEFT_OUT
from cl_spark.report.cards import CAPTION, make_cards
from cl_spark.report.gallery import Card

GIF = {"image": "data:image/gif;base64,R0lGODlh"}


def test_images_are_looked_at_and_short_texts_are_facts() -> None:
    rows = pd.DataFrame({"id": [1, 2], "image": [b"GIF89a", None], "from": ["phone", None]})
    assert make_cards(rows, ["id"], ["from", "image"]) == [
        Card("id 1", {"image": GIF}, {"from": "phone"}),
        Card("id 2", {"image": {"text": ""}}, {}),
    ]


def test_long_texts_are_looked_at_and_of_short_ones_alone_the_longest() -> None:
    rows = pd.DataFrame({"id": ["a"], "kind": ["mail"], "text": ["a few words"]})
    assert make_cards(rows, ["id"], ["kind", "text"]) == [
        Card("id a", {"text": {"text": "a few words"}}, {"kind": "mail"})
    ]
    long = "a" * (CAPTION + 1)
    (card,) = make_cards(rows.assign(text=long, image=[b"GIF89a"]), ["id"], ["kind", "text", "image"])
    assert card.media == {"text": {"text": long}, "image": GIF}


def test_images_that_a_page_left_out_are_told_by_their_bytes() -> None:
    rows = pd.DataFrame({"id": [1, 2], "image": [b"GIF89a", None], LEFT_OUT + "image": [None, 5_000]})
    assert [card.media["image"] for card in make_cards(rows, ["id"], ["image"])] == [
        GIF,
        {"text": "5,000 bytes, left out"},
    ]


def test_facts_are_short_and_those_that_are_missing_are_left_out() -> None:
    rows = pd.DataFrame(
        {"a\nid": ["x\ny"], "part": [7], "label": [3.0], "score": [0.0123456], "none": [None], "why": ["far"]}
    )
    facts = {"label": "given", "score": "score", "none": "none", "unknown": "unknown"}
    assert make_cards(rows, ["a\nid", "part"], facts=facts, note="why") == [
        Card(r"a\nid x\ny, part 7", {}, {"given": "3", "score": "0.0123"}, "far")
    ]


def test_rows_without_anything_to_look_at_have_cards_and_no_rows_have_none() -> None:
    rows = pd.DataFrame({"id": [1]})
    assert make_cards(rows, ["id"]) == [Card("id 1", {}, {})]
    assert make_cards(rows[:0], ["id"]) == []
