"""The page to review with, in a real browser. Screenshots are kept in artifacts/."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import OutputError, export_review_page, read_review_csv
from tests.frames import HOSTILE
from tests.methods.review.frames import IDS, small_queue

pytestmark = pytest.mark.slow
ARTIFACTS = Path(__file__).resolve().parents[3] / "artifacts"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def queue(spark: SparkSession) -> DataFrame:
    return small_queue(spark)


@pytest.fixture(scope="module")
def file(queue: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "review.html"
    assert export_review_page(queue, str(path), id_col=IDS, run_id="night") == str(path)
    return path


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page; afterwards nothing may have gone wrong, and nothing been asked of a network."""
    faults: list[str] = []
    contexts = []

    def open_(path: Path, name: str | None = "Ann", **options: Any) -> Page:
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
        if name is not None:
            page.get_by_label("Your name").fill(name)
            page.keyboard.press("Enter")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def saved(page: Page, path: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save answers").click()
    download.value.save_as(path / download.value.suggested_filename)
    return path / download.value.suggested_filename


def rows(answers: DataFrame) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, answers.collect()), key=repr)


def test_rows_are_shown_in_their_order_with_both_labels(opened: Open, file: Path) -> None:
    page = opened(file)
    expect(page.locator("#place")).to_have_text("Row 1 of 6: source b, id -5")
    expect(page.locator("#place")).to_be_focused()
    expect(page.locator("h1")).to_have_text("Review of run night")
    expect(page.get_by_role("button", name=re.compile("given label eel"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("suggested label dog"))).to_be_visible()
    image = page.locator("#example img")
    assert image.evaluate("image => image.naturalWidth") == 8
    page.keyboard.press("ArrowRight")
    expect(page.locator("#place")).to_have_text(f"Row 2 of 6: source a, id {2**53 + 1}")
    expect(page.locator("#example .text")).to_have_text("=1+1")
    page.screenshot(path=ARTIFACTS / "review_page.png", full_page=True)


def test_nothing_in_the_file_tells_the_stratum_or_the_score(file: Path) -> None:
    found = re.search(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert set(data["rows"][0]) == {"ids", "given", "suggested", "cells"}
    assert "flagged" not in found[1]
    assert "0.125" not in found[1]


def test_keys_answer_and_the_next_open_row_follows(opened: Open, file: Path) -> None:
    page = opened(file)
    for row, key in enumerate("12345", 1):
        expect(page.locator("#place")).to_contain_text(f"Row {row} of 6")
        page.keyboard.press(key)
    expect(page.locator("#place")).to_contain_text("Row 6 of 6")
    expect(page.locator("#count")).to_have_text("5 of 6 done")
    page.keyboard.press("ArrowLeft")
    pressed = page.locator("[aria-pressed=true]")
    expect(pressed).to_have_attribute("data-answer", "skip")
    page.keyboard.press("3")  # another answer in its place; then the open row again
    expect(page.locator("#count")).to_have_text("5 of 6 done")
    expect(page.locator("#place")).to_contain_text("Row 6 of 6")
    page.keyboard.press("Control+4")  # the browser's own keys answer nothing
    expect(page.locator("#count")).to_have_text("5 of 6 done")
    page.keyboard.press("4")
    expect(page.locator("#told")).to_have_text("All rows are done: save your answers.")
    assert page.locator("#progress").evaluate("bar => bar.position") == 1


def test_answers_are_remembered_by_name(opened: Open, file: Path) -> None:
    page = opened(file)
    page.keyboard.press("1")
    page.keyboard.press("2")
    page.reload()
    expect(page.locator("#place")).to_contain_text("Row 3 of 6")
    expect(page.locator("#annotator")).to_have_text("Ann")
    page.get_by_role("button", name="Change name").click()
    page.keyboard.type("Bo 4")  # a digit of a name is no answer
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("0 of 6 done")
    page.get_by_role("button", name=re.compile("both")).click()
    page.get_by_role("button", name="Change name").click()
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#count")).to_have_text("2 of 6 done")


def test_saved_answers_are_read_back(opened: Open, file: Path, queue: DataFrame, tmp_path: Path) -> None:
    page = opened(file, name="=Änne, B.")
    for key in "12345":
        page.keyboard.press(key)
    path = saved(page, tmp_path)
    assert path.name == "review__Änne_B..csv"
    expect(page.locator("#told")).to_have_text(f"5 answers saved as {path.name}")
    text = path.read_bytes().decode("utf-8-sig")
    assert text.startswith(
        "source,id,given_label,suggested_label,answer,label,annotator\r\n'b,'-5,eel,dog,given,,"
    )
    answers = read_review_csv(str(path), queue, id_col=IDS)
    assert answers.dtypes[1] == ("id", "bigint")
    by = "=Änne, B."
    assert rows(answers) == sorted(
        [
            ("b", -5, by, "given", None),
            ("a", 2**53 + 1, by, "suggested", None),
            ("b", 2**62, by, "both", None),
            ("a", 17, by, "neither", None),
            ("b", 0, by, None, None),
        ],
        key=repr,
    )


def test_hostile_values_stay_text(opened: Open, spark: SparkSession, tmp_path: Path) -> None:
    values = F.array(*map(F.lit, HOSTILE))
    hostile = small_queue(spark).select(
        "id",
        F.element_at(values, (F.col("place") % 3 + 1).cast("int")).alias("source"),
        F.lit(HOSTILE[0]).alias("given_label"),
        F.lit(HOSTILE[1]).alias("suggested_label"),
        *["label_quality", "issue_rank", "place", "stratum", "inclusion_probability"],
        F.element_at(values, (F.col("place") % 3 + 1).cast("int")).alias(HOSTILE[0]),
    )
    path = tmp_path / "review.html"
    export_review_page(hostile, str(path), id_col=IDS, run_id=HOSTILE[1])
    page = opened(path, name=HOSTILE[0])
    expect(page.locator("#given")).to_have_text(HOSTILE[0])
    expect(page.locator("#suggested")).to_have_text(HOSTILE[1])
    for key in "1234":
        page.keyboard.press(key)
    answers = read_review_csv(str(saved(page, tmp_path)), hostile, id_col=IDS)
    assert {row.annotator for row in answers.collect()} == {HOSTILE[0]}
    assert answers.count() == 4
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0


def test_images_of_other_hosts_are_shown_by_address_unless_asked_for(
    opened: Open, queue: DataFrame, tmp_path: Path
) -> None:
    path, address = tmp_path / "review.html", "https://images.example/a.png"
    remote = queue.withColumn("picture", F.lit(address))
    export_review_page(remote, str(path), id_col=IDS)
    page = opened(path)
    expect(page.locator("#example .text").first).to_have_text(address)
    export_review_page(remote, str(path), id_col=IDS, remote_images=True)
    text = path.read_text(encoding="utf-8")
    assert "img-src data: http: https:" in text
    assert f'{{"image": "{address}"}}' in text


def test_images_beyond_the_limit_are_told(opened: Open, queue: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "review.html"
    export_review_page(queue, str(path), id_col=IDS, max_image_bytes=100)
    expect(opened(path).locator("#example .text").first).to_have_text("image of 105 bytes, left out")


def test_a_queue_without_rows_or_review_columns_is_a_page_too(
    opened: Open, queue: DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "review.html"
    bare = queue.drop("picture", "the note")
    export_review_page(bare, str(path), id_col=IDS)
    expect(opened(path).locator("#example")).to_contain_text("look the example up by its id")
    export_review_page(bare.where("false"), str(path), id_col=IDS)
    page = opened(path)
    expect(page.locator("#place")).to_have_text("There are no rows to look at.")
    page.keyboard.press("1")
    expect(page.locator("#count")).to_have_text("0 of 0 done")


def test_a_browser_that_remembers_nothing_says_so(opened: Open, file: Path, tmp_path: Path) -> None:
    forgetful = tmp_path / "review.html"
    text = file.read_text(encoding="utf-8")
    forgetful.write_text(text.replace("localStorage", "window.forbidden"), encoding="utf-8")
    page = opened(forgetful)
    expect(page.get_by_role("alert")).to_contain_text("save them as a file before you close the page")
    page.keyboard.press("1")
    expect(page.locator("#count")).to_have_text("1 of 6 done")


def test_dark_and_narrow(opened: Open, file: Path) -> None:
    page = opened(file, color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.screenshot(path=ARTIFACTS / "review_page_narrow.png")


def test_a_page_that_cannot_be_written_is_an_error(queue: DataFrame, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="path: cannot write"):
        export_review_page(queue, str(tmp_path), id_col=IDS)


def test_a_single_label_is_asked_for_by_its_class(spark: SparkSession, opened: Open, tmp_path: Path) -> None:
    flags = F.when(F.col("id") % 2 == 0, "present").otherwise("absent")
    others = F.when(F.col("id") % 2 == 0, "absent").otherwise("present")
    queue = small_queue(spark).where("source = 'b'").withColumn("class", F.col("given_label"))
    queue = queue.withColumns({"given_label": flags, "suggested_label": others})
    ids = [*IDS, "class"]
    page = opened(Path(export_review_page(queue, str(tmp_path / "review.html"), id_col=ids)))
    expect(page.locator("#question")).to_have_text('Is it "eel"?')
    expect(page.locator("#given")).to_have_text("absent")
    expect(page.locator('[data-answer="both"]')).to_be_hidden()
    expect(page.locator('[data-answer="neither"]')).to_have_text(re.compile("cannot be told"))
    page.keyboard.press("3")
    expect(page.locator("#count")).to_have_text("0 of 3 done")
    page.keyboard.press("2")
    expect(page.locator("#question")).to_have_text('Is it "dog"?')
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save answers").click()
    saved.value.save_as(tmp_path / "saved.csv")
    (answer,) = read_review_csv(str(tmp_path / "saved.csv"), queue, id_col=ids).collect()
    assert (answer["class"], answer.answer) == ("eel", "suggested")
