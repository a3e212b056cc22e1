"""The page of a report: one HTML file that holds all it needs and opens without a network."""

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from cl_spark.errors import ConfigurationError, InputError, MissingDependencyError, OutputError, one_line
from cl_spark.report.media import without_address
from cl_spark.report.sections import Section
from cl_spark.tables.location import is_path, is_uri, is_writable, local_path, write_text
from cl_spark.version import __version__


def render_page(
    title: str, subject: str, sections: Sequence[Section], *, name: str = "", remote_images: bool = False
) -> str:
    """Render a report as HTML. Values from the data stay text, whatever they hold.

    Args:
        title: the kind of report, as in "Label audit".
        subject: the data it is about.
        sections: its sections, in their order.
        name: of the run, for the window's title.
        remote_images: let the page load images from the http(s) addresses in its tables. Else it shows these
            as text, and asks no host for anything.
    """
    check_installed()
    import vl_convert

    environment = Environment(
        loader=PackageLoader("cl_spark.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["line"] = one_line
    environment.filters["without_address"] = without_address
    return environment.get_template("report.html.j2").render(
        title=title,
        subject=subject,
        name=name,
        sections=sections,
        version=__version__,
        remote_images=remote_images,
        charts={chart: dict(spec) for section in sections for chart, spec in section.charts.items()},
        tables={
            table.name: table.as_json(remote_images=remote_images)
            for section in sections
            for table in section.shown_tables
        },
        scripts=[
            vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
            files("cl_spark.report").joinpath("vendor/dataTables.min.js").read_text("utf-8"),
        ],
    )


def check_page(path: str) -> None:
    """Look, without writing, whether a page can go to a file of this machine.

    Raises:
        ConfigurationError: it cannot.
    """
    if not is_writable(_local_file(path), is_file=True):
        raise ConfigurationError(f"report: {path!r} is no file this user may write; name another one")


def write_page(path: str, html: str) -> str:
    """Write a page, and return its path.

    Raises:
        ConfigurationError: the path is none of this machine.
        OutputError: the file cannot be written.
    """
    target = _local_file(path)
    try:
        write_text(target, html)
    except OSError as error:
        raise OutputError(f"report: cannot write {target!r}: {error.strerror}") from error
    return target


def _local_file(path: str) -> str:
    """Return the path of a file of this machine.

    Raises:
        ConfigurationError: it is one of another store.
    """
    if is_uri(local_path(path)):
        raise ConfigurationError(
            f"report: {path!r} is in a store that only Spark reaches: name a file of this machine, such as "
            "./report.html"
        )
    return local_path(path)


def default_path(location: str, run_id: str) -> str:
    """Name the file of a run's report: below its results.

    Raises:
        InputError: the results are in no directory of this machine.
    """
    path = local_path(location)
    if not is_path(path) or is_uri(path):
        raise InputError(
            f"report: the results are in {location!r}, where only Spark writes: name a file of this machine "
            f"for the report, such as ./{run_id}.html"
        )
    return f"{path.rstrip('/')}/reports/{run_id}.html"


def check_installed() -> None:
    """Check that a report can be made.

    Raises:
        MissingDependencyError: the extra `report` is not installed.
    """
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"a report needs {error.name}: pip install 'cl_spark[report]'"
        ) from error
