"""The report in a real browser. Screenshots are kept in artifacts/."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect
from pyspark.sql import SparkSession

from cl_spark import read_run
from cl_spark.tables import columns as c
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.facts import Facts
from cl_spark.tasks.label_audit.report import render as html_of
from cl_spark.tasks.label_audit.task import run_audit
from tests.frames import HOSTILE

pytestmark = pytest.mark.slow
ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"
Open = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of a run's facts; afterwards nothing may have gone wrong, and nothing been asked of a
    network.
    """
    faults: list[str] = []
    contexts = []

    def open_(facts: Facts, **options: Any) -> Page:
        path = tmp_path / "report.html"
        path.write_text(html_of(facts), encoding="utf-8")
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
        expect(page.locator("#chart-confusion canvas")).to_be_visible()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def digits(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    output = str(tmp_path_factory.mktemp("browser") / "audits")
    values = {
        "sample": "digits",
        "output": output,
        "format": "parquet",
        "review_columns": ["image"],
        "slice_by": ["true_label"],
    }
    run_audit(spark, AuditConfig(**values, run_id="before", filter_by="both"))
    run_audit(spark, AuditConfig(**values, run_id="now", gates=["overall_health >= 0.99"]))
    return Facts.of(read_run(output, spark=spark))


def texts(page: Page, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def test_every_section_is_there_and_images_are_seen(opened: Open, digits: Facts) -> None:
    page = opened(digits)
    for section in ("overall", "classes", "confusion", "scores", "issues", "slices", "rejected", "run"):
        name = section if section == "overall" else f"{section}-section"
        expect(page.locator(f"section#{name} h2")).to_be_visible()
        expect(page.locator(f"nav a[href='#{name}']")).to_be_visible()
    expect(page.get_by_text("Gate failed: overall_health >= 0.99")).to_be_visible()
    expect(page.get_by_text("Every row could be used.")).to_be_visible()
    expect(page.locator("#chart-trend svg")).to_be_visible()
    expect(page.locator("#chart-distribution svg")).to_be_visible()
    widths = page.locator("#table-issues img").evaluate_all(
        "images => images.map(image => image.naturalWidth)"
    )
    assert widths == [32] * 25
    page.screenshot(path=ARTIFACTS / "report.png", full_page=True)


def test_tables_sort_and_search_by_mouse_and_keyboard(opened: Open, digits: Facts) -> None:
    page = opened(digits)
    column = "#table-classes tbody td:nth-child(1)"
    worst_first = texts(page, column)
    assert worst_first == [str(name) for name in digits.classes["class"]]
    heading = page.locator("#table-classes thead th").filter(has_text="class").first
    heading.click()
    expect(page.locator(column)).to_have_text([str(k) for k in range(10)])
    page.locator("#table-classes").get_by_role(
        "button", name="class quality: Activate to sort", exact=True
    ).focus()
    for first in (worst_first[0], worst_first[-1]):
        page.keyboard.press("Enter")
        expect(page.locator(column).first).to_have_text(first)
    last = str(digits.issues["id"].iloc[-1])  # on another page of the table
    page.locator("#issues-section").get_by_label("Search").focus()
    page.keyboard.type(last)
    expect(page.locator("#table-issues tbody td:nth-child(2)").first).to_have_text(last)
    assert page.locator("#table-issues tbody tr").count() < 5
    page.keyboard.press("Control+A")
    page.keyboard.type("no such thing")
    expect(page.locator("#table-issues tbody")).to_have_text("No matching records found")


def test_the_class_whose_scores_are_drawn_is_chosen(opened: Open, digits: Facts) -> None:
    page = opened(digits)
    before = page.locator("#chart-distribution svg").inner_html()
    page.locator("#chart-distribution select").select_option("5")
    page.wait_for_function(
        "before => document.querySelector('#chart-distribution svg').innerHTML !== before", arg=before
    )


def test_keys_reach_everything(opened: Open, digits: Facts) -> None:
    page = opened(digits)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the report")).to_be_focused()
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.tagName + ' ' + (document.activeElement.closest('section')?.id ?? '')"
            )
        )
    assert {"A ", "INPUT issues-section", "SELECT issues-section", "SELECT scores-section"} <= reached


def test_dark_and_print(opened: Open, digits: Facts) -> None:
    page = opened(digits, color_scheme="dark")
    colours = page.evaluate(
        "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
    )
    assert colours == ["rgb(22, 22, 22)", "rgb(230, 230, 230)"]
    page.screenshot(path=ARTIFACTS / "report_dark.png", full_page=True)
    page.emulate_media(media="print", color_scheme="light")
    expect(page.get_by_label("Sections")).to_be_hidden()
    assert page.pdf(path=ARTIFACTS / "report.pdf", print_background=True).startswith(b"%PDF")


def test_a_narrow_screen_scrolls_its_tables_alone(opened: Open, digits: Facts) -> None:
    page = opened(digits)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.screenshot(path=ARTIFACTS / "report_narrow.png")


def test_hostile_names_do_nothing(opened: Open, spark: SparkSession, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 120)
    probs = rng.dirichlet([1.0, 1, 1], 120)
    frame = pd.DataFrame(
        {
            "id": [f"{HOSTILE[i % 3]}{i}" for i in range(120)],
            "label": [HOSTILE[k] for k in labels],
            "pred_probs": probs.tolist(),
            HOSTILE[0]: [HOSTILE[i % 3] for i in range(120)],
        }
    )
    spark.createDataFrame(frame).write.parquet(str(tmp_path / "in"))
    config = AuditConfig(
        predictions=str(tmp_path / "in"), output=str(tmp_path / "out"), format="parquet", class_names=HOSTILE,
        review_columns=[HOSTILE[0]], slice_by=[HOSTILE[0]], gates=["class_health.class_quality >= 1"],
    )  # fmt: skip
    result = run_audit(spark, config)
    assert result.num_issues > 0
    facts = Facts.of(read_run(str(tmp_path / "out"), spark=spark))
    page = opened(facts)
    assert set(texts(page, "#table-classes tbody td:nth-child(1)")[:1]) <= {
        name.replace("\u2028", "\\u2028") for name in HOSTILE
    }
    canvas = page.locator("#chart-confusion canvas")
    box = canvas.bounding_box()
    assert box is not None
    for share in (0.3, 0.5, 0.7):  # what lies there is told in a tooltip
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.4 * box["height"])
        page.wait_for_timeout(100)
    page.locator("#chart-distribution select").select_option(index=1)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    page.screenshot(path=ARTIFACTS / "report_hostile.png", full_page=True)


def test_five_thousand_issues_and_a_thousand_classes_stay_responsive(opened: Open, digits: Facts) -> None:
    rng = np.random.default_rng(1)
    names = [f"class {k}" for k in range(1000)]
    classes = pd.concat([digits.classes] * 100, ignore_index=True).assign(**{c.CLASS: names})
    issues = pd.concat([digits.issues] * (5_000 // len(digits.issues) + 1), ignore_index=True).head(5_000)
    issues = issues.assign(rank=range(1, 5_001), id=range(5_000), given_label=rng.choice(names, 5_000))
    cells = pd.DataFrame(
        {
            c.GIVEN_LABEL: rng.choice(names, 5_000),
            c.TRUE_LABEL: rng.choice(names, 5_000),
            c.CALIBRATED_COUNT: rng.integers(1, 50, 5_000),
            c.INVERSE_NOISE_RATE: rng.random(5_000),
        }
    )
    spread = pd.concat(
        [digits.distribution.assign(**{c.CLASS: name}) for name in names[:50]], ignore_index=True
    )
    record = {**digits.record, "num_issues": 5_000, "num_classes": 1_000}
    page = opened(
        dataclasses.replace(
            digits, record=record, classes=classes, issues=issues, cells=cells, distribution=spread
        )
    )
    loaded = page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
    typed = page.evaluate(
        """() => {
            const began = performance.now();
            const search = document.querySelector("#issues-section input");
            search.value = "class 77";
            search.dispatchEvent(new Event("input", { bubbles: true }));
            document.querySelector("#issues-section th:nth-child(6)").click();
            return performance.now() - began;
        }"""
    )
    print(f"loaded in {loaded:.0f} ms; searched and sorted in {typed:.0f} ms")
    assert loaded < 10_000
    assert typed < 1_000
    canvas = page.locator("#chart-confusion canvas")
    canvas.scroll_into_view_if_needed()
    before = canvas.screenshot()
    canvas.hover()
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(500)
    assert canvas.screenshot(path=ARTIFACTS / "report_zoomed.png") != before
