"""What the documentation shows is run, and what it says of the code is what the code declares."""

import contextlib
import doctest
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from nbclient import NotebookClient
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import cl_spark
from cl_spark.runs.config import RunConfig
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import run_audit
from cl_spark.terminal.command_line import exit_code
from scripts.document import PAGES
from scripts.make_notebooks import NOTEBOOKS, notebook
from tests.methods.learning.frames import blobs, training_frame

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SAMPLE = str(ROOT / "cl_spark" / "sample" / "digits.parquet")
HOWTO = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.fixture(scope="module")
def results(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the results of an audit of the sample are."""
    output = str(tmp_path_factory.mktemp("documentation") / "audits")
    run_audit(spark, AuditConfig(sample="digits", output=output, format="parquet"))
    return output


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with what the documentation calls /lake, and the project's own files."""
    for name in ("jobs", "conf", "cl_spark"):
        (tmp_path / name).symlink_to(ROOT / name)
    sample = spark.read.parquet(SAMPLE).withColumn("source", F.expr("if(id % 3 = 0, 'a', 'b')"))
    (tmp_path / "lake").mkdir()
    for name in ("predictions", "new"):
        sample.write.parquet(str(tmp_path / "lake" / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Shell:
    """Runs the commands that documentation shows, each as it stands but for where the lake is."""

    def __init__(self, lake: Path, expected: dict[str, int] | None = None) -> None:
        self.lake, self.expected = lake, expected or {}
        self.ran: list[str] = []

    def here(self, text: str) -> str:
        """The text with its paths below the lake's directory: Java does not know where this process went."""
        return re.sub(
            r"""(?<![\w.])\.?/(?=(?:lake|audits|pets|predictions|corrected|issues)\b)""",
            f"{self.lake}/",
            text,
        )

    def __call__(self, block: str) -> None:
        for line in filter(None, map(str.strip, block.splitlines())):
            words = [self.here(word) for word in shlex.split(line, comments=True)]
            expected = next((code for part, code in self.expected.items() if part in line), 0)
            if words[0] == "cl-spark":
                for _ in range(2 if "--slice-by" in line else 1):  # what runs every night has run before
                    assert exit_code(words[1:]) == expected, line
            elif words[0] == "spark-submit":
                assert submit(words[1:]) == expected, line
            elif words[0] == "scripts/quickstart.sh":
                done = subprocess.run(
                    [ROOT / words[0], "--output", self.lake / "quick"],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                assert "overall label health" in done.stdout
            elif words[:2] == ["pip", "install"]:  # done in an empty environment by test_package
                extras = re.fullmatch(r"\.(?:\[(.*)\])?", words[2])
                assert extras is not None
                declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
                assert all(f"\n{extra} = [" in declared for extra in (extras[1] or "spark").split(","))
            else:
                assert words[0] in ("scripts/test.sh", "source"), (
                    line
                )  # the command that runs this test; the shell's own
            self.ran.append(line)


COMMANDS = {
    "audit_labels.py": "audit",
    "score_stream.py": "score-stream",
    "cross_validate.py": "cross-validate",
    "clean_learning.py": "clean-learning",
    "benchmark_models.py": "benchmark-models",
    "review.py": "review",
    "verdicts.py": "verdicts",
    "correct.py": "correct",
    "generated.py": "generated",
}
SUBMITTED = {"audit_labels.py"}
"""Jobs that were really submitted (this one by another test); further times their command runs here."""


def submit(words: list[str]) -> int:
    """Submit a job of `jobs/`, or run its command in this process if it has been submitted before."""
    job = next(Path(word).name for word in words if word.startswith("jobs/"))
    arguments = [*words, *(["--until-read"] if job == "score_stream.py" else [])]
    if job in SUBMITTED:
        command = COMMANDS[job]
        return exit_code([command, *arguments[arguments.index(f"jobs/{job}") + 1 :]])
    SUBMITTED.add(job)
    done = subprocess.run([BIN / "spark-submit", *arguments], capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], done.stderr[-3000:])
    return done.returncode


def blocks(path: Path) -> list[tuple[str, str]]:
    """The code blocks of a page with their language; indented ones are shell commands."""
    text = path.read_text(encoding="utf-8")
    found = [
        (match.start(), match[1], match[2])
        for match in re.finditer(r"```(\w+)[^\n]*\n(.*?)```", text, re.DOTALL)
    ]
    plain = re.sub(r"```.*?```", lambda match: "\n" * len(match[0]), text, flags=re.DOTALL)
    found += [
        (match.start(), "sh", match[0]) for match in re.finditer(r"(?:^ {4}\S.*\n)+", plain, re.MULTILINE)
    ]
    return [(language, code) for _, language, code in sorted(found)]


def run_page(path: Path, spark: SparkSession, shell: Shell, scope: dict[str, object]) -> dict[str, object]:
    """Run the blocks of a page in their order; text right after Python is what that prints."""
    titles = re.findall(r'```yaml title="(.*?)"', path.read_text(encoding="utf-8"))
    printed = None
    for language, code in blocks(path):
        before, printed = printed, None
        if language == "sh":
            shell(code)
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(shell.here(code), str(path), "exec"), scope)
            printed = out.getvalue()
            print(printed)
        elif language == "text" and before is not None:
            assert filled_lines(code) == filled_lines(before)
        elif language == "yaml":
            Path(titles.pop(0)).write_text(shell.here(code), encoding="utf-8")
        else:
            assert language in ("text", "sql"), language
    return scope


def filled_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.slow
def test_the_readme_runs(spark: SparkSession, lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(lake, {"overall_health >= 0.97": 3})
    scope = run_page(ROOT / "README.md", spark, shell, {"spark": spark})
    assert "% healthy" in capsys.readouterr().out
    assert scope["scores"].count() == 1797  # type: ignore[attr-defined]
    assert len(shell.ran) >= 12


@pytest.mark.slow
def test_the_tutorial_runs(spark: SparkSession, lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(lake)
    run_page(ROOT / "docs" / "tutorial.md", spark, shell, {})
    assert (lake / "audits" / "reports" / "first.html").is_file()
    told = capsys.readouterr().out
    assert "classes: nothing was written" not in told
    assert re.search(r"0 new issues, \d+ resolved, 0 persisting", " ".join(told.split())), told[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("path", HOWTO, ids=lambda path: path.stem)
def test_the_how_tos_run(spark: SparkSession, lake: Path, path: Path) -> None:
    shell = Shell(lake)
    if path.stem == "new-rows":  # they are scored by a finished run
        shell("cl-spark audit --predictions /lake/predictions --output /lake/audits")
    run_page(path, spark, shell, {})


@pytest.mark.slow
def test_the_sql_recipes_run(spark: SparkSession) -> None:
    spark.sql("DROP SCHEMA IF EXISTS audits CASCADE")
    spark.sql("CREATE SCHEMA audits")
    sample = spark.read.parquet(SAMPLE)
    bad = sample.limit(3).withColumns({"id": F.col("id") + 9_000, "label": F.lit(77).cast("int")})
    sample.unionByName(bad).write.mode("overwrite").format("delta").saveAsTable("default.predictions")
    for run_id, filter_by in (("first", "both"), ("second", "predicted_neq_given")):
        values = {"predictions": "default.predictions", "output": "audits", "slice_by": ["true_label"]}
        run_audit(spark, AuditConfig(**values, run_id=run_id, filter_by=filter_by))
    recipes = [code for language, code in blocks(ROOT / "docs" / "howto" / "sql.md") if language == "sql"]
    assert len(recipes) >= 10
    issues, got = spark.table("audits.issues").where("run_id = 'second'").count(), {}
    for recipe in recipes:
        rows = spark.sql(recipe)
        if "CREATE" not in recipe:
            got[recipe] = rows.count()
    assert spark.table("latest").first().run_id == "second"
    whole = 1797 + 3
    for part, rows in (
        ("LEFT ANTI", whole - issues),
        ("percent_of_given", 20),
        ("count(*)", 1),
        ("slice_value", 10),
        ("lag(", 2),
    ):
        assert next(count for recipe, count in got.items() if part in recipe) == rows, part
    assert all(count > 0 for recipe, count in got.items() if "AS before" not in recipe), got


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "audit_a_delta_table",
        "bad_rows_of_every_kind",
        "from_annotations_to_a_corrected_table",
        "from_model_to_clean_labels",
    ],
)
def test_the_notebooks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    made = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert made == notebook(source), "run scripts/make_notebooks.py"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    NotebookClient(
        made, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = "".join(str(output) for cell in made.cells for output in cell.get("outputs", ()))
    assert "text/html" in shown
    (ROOT / "artifacts").mkdir(exist_ok=True)
    nbformat.write(made, ROOT / "artifacts" / f"{name}.ipynb")


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "site" / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    for name in cl_spark.__all__:
        assert name == "__version__" or name in page, f"docs/reference/api.md does not mention {name}"
    everything = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html"))
    asked = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(https?://[^"]*)"', everything)
    assert [address for address in asked if "rel=" not in address] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run scripts/document.py"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("audit", AuditConfig),
        ("audit_multilabel", cl_spark.MultilabelAuditConfig),
        ("audit_tokens", cl_spark.TokenAuditConfig),
        ("audit_data", cl_spark.DataAuditConfig),
        ("generated", cl_spark.GeneratedDataConfig),
        ("consensus", cl_spark.ConsensusConfig),
        ("review", cl_spark.ReviewQueueConfig),
        ("clean_learning", cl_spark.CleanLearningConfig),
        ("cross_validate", cl_spark.CrossValidationConfig),
        ("benchmark_models", cl_spark.ModelComparisonConfig),
        ("verdicts", cl_spark.VerdictsConfig),
        ("correct", cl_spark.CorrectionsConfig),
    ],
)
def test_the_example_configuration_explains_every_key(name: str, config: type[RunConfig]) -> None:
    text = (ROOT / "conf" / f"{name}.yaml").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#? ?([a-z_]+):", text, re.MULTILINE))
    assert explained == set(config.model_fields)
    assert yaml.safe_load(text).keys() <= explained


def modules_with_examples(*packages: str) -> list[str]:
    """Every module below some packages whose docstrings show examples."""
    paths = [path for package in packages for path in sorted((ROOT / "cl_spark").glob(package))]
    shown = [path for path in paths if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in shown]


KERNELS = modules_with_examples("kernels/*.py")


@pytest.mark.parametrize("name", KERNELS)
def test_examples_of_the_kernels_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*modules_with_examples("**/*.py")} - {*KERNELS}))
def test_examples_of_the_library_run(spark: SparkSession, name: str, results: str) -> None:
    scope = {
        "np": np,
        "df": spark.read.parquet(SAMPLE),
        "spark": spark,
        "results": results,
        "read_run": cl_spark.read_run,
        "AuditConfig": AuditConfig,
        "CleanLearning": cl_spark.CleanLearning,
        "training": training_frame(spark, *blobs()),
    }
    result = doctest.testmod(importlib.import_module(name), extraglobs=scope)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_name_is_documented() -> None:
    for name in cl_spark.__all__:
        assert name == "__version__" or getattr(cl_spark, name).__doc__
