"""The card that a notebook shows of an object: its key numbers and bars of classes, as a piece of HTML."""

from collections.abc import Mapping, Sequence

from jinja2 import Environment
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.tables import columns as c

_TEMPLATE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<div style="font: 14px/1.45 system-ui, sans-serif; border: 1px solid #8886; border-radius: 6px;
            padding: 12px 16px">
  <div style="font-weight: 600">{{ title }}</div>
  <div style="display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 8px 0">
  {% for name, value in numbers.items() %}
    <div>
      <div style="opacity: .7; font-size: 12px">{{ name }}</div>
      <div style="font-size: 18px">{{ value }}</div>
    </div>
  {% endfor %}
  </div>
  {% if bars %}
  <div style="opacity: .7; font-size: 12px">{{ heading }}</div>
  {% for name, share in bars %}
  <div style="display: flex; align-items: center; gap: 8px">
    <span style="width: 10rem; overflow: hidden; text-overflow: ellipsis;
                 white-space: nowrap">{{ name }}</span>
    <span style="width: 16rem; background: #8883">
      <span style="display: block; height: 10px; background: #d55e00;
                   width: {{ '%.1f' | format(100 * share) }}%"></span>
    </span>
    <span>{{ '%.1f' | format(100 * share) }} %</span>
  </div>
  {% endfor %}
  {% endif %}
  {% for note in notes %}
  <div style="opacity: .7; overflow-wrap: anywhere">{{ note }}</div>
  {% endfor %}
</div>""")


def card(
    title: str,
    numbers: Mapping[str, object],
    *,
    heading: str = "",
    bars: Sequence[tuple[object, float]] = (),
    notes: Sequence[str] = (),
) -> str:
    """HTML that holds all it needs and runs no script; values from the data stay text.

    Args:
        title: what it is.
        numbers: key numbers by name; whole ones are shown with separators.
        heading: what the bars are.
        bars: names and shares, in [0, 1].
        notes: further lines.

    Example:
        >>> "1,797" in card("Audit", {"examples": 1797}, bars=[("<b>", 0.5)])
        True
    """
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in numbers.items()}
    return _TEMPLATE.render(title=title, numbers=shown, heading=heading, bars=bars, notes=notes)


def worst_classes(class_health: DataFrame, rows: int = 10) -> list[tuple[object, float]]:
    """Class and label noise of the first rows of a `class_health` table, worst first.

    Args:
        class_health: a row per class.
        rows: how many classes, at most.
    """
    worst = class_health.orderBy(F.desc(c.LABEL_NOISE), c.CLASS).select(c.CLASS, c.LABEL_NOISE).limit(rows)
    return [(row[0], row[1]) for row in worst.collect()]
