"""The tables that every run has."""

from cl_spark.tables.schema import REJECTED, RUNS, Column, runs_table


def test_the_numbers_of_a_task_follow_the_columns_of_every_run() -> None:
    number = Column("num_texts", "long", "Distinct texts")
    table = runs_table([number])
    assert table.name == RUNS.name
    assert table.columns == (*RUNS.columns, number)
    assert number not in RUNS.columns, "the table of every run stays as it is"


def test_a_table_is_found_by_its_value() -> None:
    """Tables are the keys of what a stage writes."""
    assert {runs_table([]): 1}[RUNS] == 1
    assert runs_table([Column("more", "long", "More")]) not in (RUNS, runs_table([]))


def test_every_table_of_the_machinery_begins_with_the_run() -> None:
    for table in (RUNS, REJECTED):
        names = [column.name for column in table.columns]
        assert names[0] == "run_id"
        assert len(set(names)) == len(names)
