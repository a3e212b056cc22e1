"""The report of a data audit in a real browser: galleries of outliers and copies. Screenshots are kept in
artifacts/.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pyspark.sql import SparkSession

from cl_spark import DataAuditConfig, run_data_audit
from cl_spark.tasks.data_audit.copies import GROUPS, MEMBERS
from tests.frames import HOSTILE
from tests.tasks.data_audit.frames import LARGEST, NUM_DIGITS, NUM_FAR, NUM_GROUPS, pictures

pytestmark = pytest.mark.slow
ARTIFACTS = Path(__file__).resolve().parents[3] / "artifacts"
Open = Callable[..., Page]
FAR, COPIES = "#outlier-section", "#near_duplicate-section"


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page; afterwards nothing may have gone wrong, and nothing been asked of a network."""
    faults: list[str] = []
    contexts = []

    def open_(path: Path, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        own = (path.as_uri(), "data:", "blob:")
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(own) else faults.append(f"asked for {asked.url}"),
        )
        page.goto(path.as_uri())
        expect(page.locator("#table-checks tbody tr").first).to_be_visible()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def images(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of digits with their images."""
    path = tmp_path_factory.mktemp("gallery")
    spark.createDataFrame(pictures()).write.parquet(f"{path}/in")
    config = DataAuditConfig(
        predictions=f"{path}/in",
        output=f"{path}/out",
        format="parquet",
        review_columns=["image", "text", "label"],
        report=f"{path}/report.html",
    )
    run_data_audit(spark, config)
    return path / "report.html"


def texts(page: Page, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def widths(page: Page, selector: str) -> list[int]:
    found: list[int] = page.locator(selector).evaluate_all("all => all.map(image => image.naturalWidth)")
    return found


def test_outliers_are_cards_worst_first(opened: Open, images: Path) -> None:
    page = opened(images)
    cards = page.locator(f"{FAR} .card")
    ids = [int(title.split()[1]) for title in texts(page, f"{FAR} .title")]
    far = set(range(len(pictures()) - NUM_FAR, len(pictures())))
    assert set(ids[:NUM_FAR]) == far
    assert widths(page, f"{FAR} .card img") == [32] * len(ids)
    first = pictures().loc[ids[0]]
    expect(cards.first.get_by_alt_text(f"image of id {ids[0]}")).to_be_visible()
    expect(cards.first).to_contain_text("far from its 10 nearest rows")
    expect(cards.first).to_contain_text(first.text)
    assert re.search(rf"label\s*{first.label}\s*score\s*0\.0", cards.first.inner_text())
    scores = [float(score) for score in texts(page, f"{FAR} .card dt:text-is('score') + dd")]
    assert scores == sorted(scores)
    expect(page.locator(f"{FAR} table")).to_have_count(0)


def test_copies_are_side_by_side_and_the_other_groups_in_a_table(opened: Open, images: Path) -> None:
    page = opened(images)
    strips = page.locator(f"{COPIES} .strip")
    expect(strips).to_have_count(GROUPS)
    expect(page.locator(COPIES)).to_contain_text(f"The first {GROUPS} of {NUM_GROUPS} groups are shown")
    largest, second = strips.first, page.get_by_role("group", name="Group 1", exact=True)
    expect(largest.locator("h3")).to_have_text("Group 0")
    expect(largest).to_contain_text(f"{LARGEST} near copies, the first {MEMBERS} by id are shown")
    expect(largest).to_contain_text("2 different labels")
    expect(largest.locator(".card")).to_have_count(MEMBERS)
    copy = NUM_DIGITS + LARGEST - 1
    expect(second.locator(".title")).to_have_text(["id 1", f"id {copy}"])
    expect(second.locator(".card").last).to_contain_text("at distance 0")
    tops = second.locator("img").evaluate_all("all => all.map(image => image.getBoundingClientRect().top)")
    assert len(tops) == 2
    assert tops[0] == tops[1]
    expect(page.locator(f"{COPIES} tbody tr")).to_have_count(2 * (NUM_GROUPS - GROUPS))
    expect(page.locator(f"{COPIES} tbody img")).to_have_count(2 * (NUM_GROUPS - GROUPS))
    page.screenshot(path=ARTIFACTS / "gallery.png", full_page=True)


def test_dark_print_and_a_narrow_screen(opened: Open, images: Path) -> None:
    page = opened(images, color_scheme="dark")
    ground = page.locator(f"{FAR} .card").first.evaluate("card => getComputedStyle(card).backgroundColor")
    assert ground == "rgb(34, 34, 34)"
    page.screenshot(path=ARTIFACTS / "gallery_dark.png", full_page=True)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.emulate_media(media="print", color_scheme="light")
    expect(page.locator(f"{COPIES} .card img").first).to_be_visible()
    assert page.pdf(path=ARTIFACTS / "gallery.pdf", print_background=True).startswith(b"%PDF")


def test_hostile_texts_do_nothing_and_keys_pass_long_ones(
    opened: Open, spark: SparkSession, tmp_path: Path
) -> None:
    rows = pictures()[["features"]].assign(name=[f"{HOSTILE[i % 3]}{i}" for i in range(len(pictures()))])
    rows[HOSTILE[0]] = [HOSTILE[i % 3] * 20 for i in range(len(rows))]  # long: it scrolls
    spark.createDataFrame(rows).write.parquet(f"{tmp_path}/in")
    config = DataAuditConfig(
        predictions=f"{tmp_path}/in",
        output=f"{tmp_path}/out",
        format="parquet",
        id_col=["name"],
        review_columns=[HOSTILE[0]],
        report=f"{tmp_path}/report.html",
    )
    run_data_audit(spark, config)
    page = opened(tmp_path / "report.html")
    ids = {name.replace("\u2028", "\\u2028") for name in rows.name}
    assert {title.removeprefix("name ") for title in texts(page, ".title")} <= ids
    assert {text.replace("\u2028", "") for text in texts(page, ".look")} <= {
        (text * 20).replace("\u2028", "") for text in HOSTILE
    }
    page.locator(f"{FAR} .look").last.focus()
    page.keyboard.press("Tab")
    expect(page.locator(f"{COPIES} .look").first).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator(f"{FAR} .look").last).to_be_focused()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    page.screenshot(path=ARTIFACTS / "gallery_hostile.png", full_page=True)
