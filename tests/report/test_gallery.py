"""Galleries on a page: values of the data stay text, and no host is asked for images."""

import re
from html import unescape

import pytest

from cl_spark.report.gallery import Card, CardGroup, Gallery
from cl_spark.report.page import render_page
from cl_spark.report.sections import Section
from tests.frames import HOSTILE

pytestmark = pytest.mark.slow

IMAGE = {"image": "data:image/png;base64,AA=="}


def page(*galleries: Gallery, remote_images: bool = False) -> str:
    section = Section("own", "Own", "Own", galleries=galleries, otherwise="There is nothing.")
    html = render_page("Audit", "subject", [section], remote_images=remote_images)
    return html[html.index("<main>") : html.index("</main>")]


def test_cards_show_images_texts_facts_and_notes() -> None:
    card = Card("id 7", {"picture": IMAGE, "words": {"text": "two\nlines"}}, {"label": "cat"}, "far from all")
    html = page(Gallery("far", [card]))
    assert 'id="gallery-far"' in html
    assert '<img src="data:image/png;base64,AA==" alt="picture of id 7">' in html
    assert '<p class="look">two\nlines</p>' in html
    assert "<dt>label</dt><dd>cat</dd>" in html
    assert "far from all" in html
    assert "There is nothing." not in html
    assert page(Gallery("far")).count("There is nothing.") == 1, "a gallery without cards is left out"


def test_groups_are_named_and_hold_their_cards() -> None:
    groups = [
        CardGroup(f"Group {i}", [Card(f"id {i}", {}, {}), Card(f"id 1{i}", {}, {})], "2 copies", "2 labels")
        for i in (3, 4)
    ]
    html = page(Gallery("copies", groups=groups))
    assert re.findall(r'aria-labelledby="(gallery-[^"]*)"', html) == re.findall(r'<h3 id="([^"]*)"', html)
    assert re.findall(r"<h3[^>]*>([^<]*)</h3>", html) == ["Group 3", "Group 4"]
    assert re.findall(r'<p class="title">([^<]*)</p>', html) == ["id 3", "id 13", "id 4", "id 14"]
    assert html.count('<p class="dim">2 copies</p>') == 2
    assert html.count("<strong>2 labels</strong>") == 2


def test_keys_reach_long_texts_which_scroll() -> None:
    short, long = (Card(f"id {n}", {"words": {"text": "a" * n}}, {}) for n in (200, 201))
    assert "tabindex" not in page(Gallery("g", [short]))
    assert 'tabindex="0" role="group" aria-label="words of id 201"' in page(Gallery("g", [long]))


@pytest.mark.parametrize("text", HOSTILE)
def test_values_of_the_data_stay_text_wherever_they_stand(text: str) -> None:
    cards = [
        Card(text, {text: {"text": text}}, {text: text}, text),
        Card(text, {text: {"image": f'data:image/png;base64,"{text}'}}, {}),
    ]
    html = page(Gallery("g", cards, [CardGroup(text, cards, text, text)]))
    assert text not in html
    assert text.split("\u2028")[0] in unescape(html)
    assert re.findall(r"<(?!/)(\w+)", html).count("img") == 2
    assert "<script" not in html
    assert set(re.findall(r"<img (\w+)=", html)) == {"src"}


def test_images_of_other_hosts_are_text_unless_they_are_asked_for() -> None:
    gallery = Gallery("g", [Card("id 1", {"image": {"image": "https://example.org/a.png"}}, {})])
    assert "<img" not in page(gallery)
    assert '<p class="look">https://example.org/a.png</p>' in page(gallery)
    assert '<img src="https://example.org/a.png"' in page(gallery, remote_images=True)


def test_cards_of_texts_are_wider_than_those_of_images() -> None:
    text, image = Card("a", {"words": {"text": "b"}}, {}), Card("a", {"picture": IMAGE}, {})
    assert Gallery("g", [text]).has_texts
    assert not Gallery("g", [text], [CardGroup("c", [image])]).has_texts
    assert not Gallery("g", [Card("a", {}, {})]).has_texts
