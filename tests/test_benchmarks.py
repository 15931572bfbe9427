"""The pure parts of the benchmarks, and that each contender does what is measured; no times."""

from __future__ import annotations

import doctest
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from benchmarks import bare, figures, plot, report, running, states, syncs
from benchmarks import page as pages
from benchmarks.contenders import CONTENDERS, by_name, save_and_close
from benchmarks.figures import BARE, FULL, Cell, Figure, Spread, Times
from benchmarks.ours import MANY_APART, BareCalls, OneByOne, bare_in_order

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contender import Contender

GET = Cell("1 KiB", 1, "get")
SAVE = Cell("1 KiB", 1_000, "create next")
MANY = Cell("1 KiB", 1_000, "create_many first, each key")
TIMES: Times = {
    GET: {BARE: [10.0, 20.0, 30.0], FULL: [20.0, 30.0, 60.0], "lmdb": [5.0, 10.0, 15.0]},
    SAVE: {BARE: [1000.0, 2000.0], FULL: [1100.0, 2200.0]},
    MANY: {BARE: [100.0], FULL: [110.0], MANY_APART: [440.0]},
}


@pytest.mark.parametrize("module", ["figures", "machine", "plot", "report", "running", "syncs"])
def test_the_examples_of_the_pure_parts_hold(module: str) -> None:
    result = doctest.testmod(import_module(f"benchmarks.{module}"))
    assert result.failed == 0
    assert result.attempted > 0


# ------------------------------------------------------------------------------------- figures


def test_figures_are_medians_percentiles_and_ratios_of_the_same_round() -> None:
    found = {(item.cell, item.contender): item for item in figures.figures(TIMES)}
    assert found[GET, FULL] == Figure(GET, FULL, 3, 30.0, 60.0, 2.0, 1.0)
    assert found[GET, "lmdb"] == Figure(GET, "lmdb", 3, 10.0, 15.0, 0.5, 0.25)
    assert found[SAVE, FULL].to_bare == pytest.approx(1.1)


def test_a_ratio_is_missing_where_its_base_is() -> None:
    (found,) = figures.figures({GET: {"lmdb": [1.0]}})
    assert (found.to_bare, found.to_full) == (None, None)


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1.0), (50, 50.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert figures.percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_spreads_compare_runs_and_begin_with_the_worst() -> None:
    slower: Times = {GET: {BARE: [10.0], FULL: [30.0], "lmdb": [5.0]}}
    found = figures.spreads([figures.figures({GET: TIMES[GET]}), figures.figures(slower)])
    assert found == [Spread(GET, FULL, (2.0, 3.0)), Spread(GET, "lmdb", (0.5, 0.5))]
    assert [item.spread for item in found] == [1.5, 1.0]
    assert figures.agreement(found).startswith("1 of 2 ratios agree within 20 %")
    assert report.disagreements(found, 1.2) == "  get: 1 KiB, 1 key: FileStore full: 2.00, 3.00\n"


def test_runs_are_pooled() -> None:
    assert figures.pooled([TIMES, TIMES])[MANY][FULL] == [110.0, 110.0]


def test_the_floor_of_batches_is_the_best_order() -> None:
    times = {f"{BARE}, 1": [3.0, 9.0, 4.0], f"{BARE}, 2": [5.0, 5.0, 5.0], FULL: [1.0, 1.0, 1.0]}
    assert figures.best_of(times, BARE) == (f"{BARE}, 1", [3.0, 9.0, 4.0])


# ------------------------------------------------------------------------- tables, plot and page


def test_the_text_has_a_table_for_each_cell() -> None:
    blocks = report.text(figures.figures(TIMES)).split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == [
        "get: 1 KiB, 1 key",
        "create next: 1 KiB, 1,000 keys",
        "create_many first, each key: 1 KiB, 1,000 keys",
    ]
    assert blocks[0].split("\n")[1:] == [
        "contender           median      p99  to bare  to full  rounds",
        "bare system calls  20.0 us  30.0 us              0.50       3",
        "FileStore full     30.0 us  60.0 us     2.00     1.00       3",
        "lmdb               10.0 us  15.0 us     0.50     0.25       3",
    ]


def test_the_markdown_has_a_table_for_each_operation() -> None:
    times = {GET: TIMES[GET], GET._replace(keys=1_000): {BARE: [1.0], "joblib": [120.0]}}
    assert report.markdown(figures.figures(times)).split("\n") == [
        "### get",
        "",
        "| | 1 KiB, 1 | 1 KiB, 1,000 |",
        "| --- | ---: | ---: |",
        "| bare system calls | 20.0 us (30.0 us) | 1.0 us (1.0 us) |",
        "| FileStore full | 30.0 us (60.0 us) 2.00× |  |",
        "| lmdb | 10.0 us (15.0 us) 0.50× |  |",
        "| joblib |  | 120 us (120 us) 120× |",
        "",
    ]


def test_the_plot_is_well_formed_and_shows_what_is_not_durable_hollow() -> None:
    panels = pages.panels(figures.figures(TIMES), "1 KiB", 1_000)
    assert list(panels) == ["create next", "create_many first, each key"]
    drawn = plot.svg({"<get>": figures.figures({GET: TIMES[GET]})}, {BARE, FULL}, "a & b", "c")
    root = ET.fromstring(drawn)
    bars = [item for item in root.iter() if item.tag.endswith("rect")][1:]
    assert [bar.get("fill") == "#ffffff" for bar in bars] == [False, False, True]
    widths = [float(bar.get("width", "")) for bar in bars]
    assert widths[1] == max(widths)
    assert widths[2] == min(widths) > 0
    texts = [item.text for item in root.iter() if item.tag.endswith("text")]
    assert {"a & b", "<get>", "30.0 us (2.00×)", "20.0 us"} <= set(texts)


def test_the_page_names_the_machine_the_contenders_and_the_cost_of_a_batch() -> None:
    page = pages.page(
        figures.figures(TIMES),
        machine={"date": "2030-01-02", "processor": "2 x Fast CPU"},
        contenders=[("lmdb 1", True, "1", "a map"), ("joblib 2", False, "0", "a pickle")],
        many=1_000,
        runs="one full run",
        one_by_one=MANY_APART,
        agreement="1 of 2 ratios agree",
    )
    assert "\nRun by run, 1 of 2 ratios agree.\n\n## What" in page
    assert "benchmarks.svg" in page
    assert "| date | 2030-01-02 |" in page
    assert "| lmdb 1 | yes | 1 | a map |\n| joblib 2 | **no** | 0 | a pickle |" in page
    assert "costs 1.10 times the bare system calls for first saves" in page
    assert "one key of it 0.25 of\nthe time of a single `create`" in page


# ---------------------------------------------------------------------------------- contenders


def test_states_have_their_size_and_change_on_each_save() -> None:
    near = {"1 KiB": 2**10, "100 KiB flat": 100 * 2**10, "100 KiB nested": 100 * 2**10}
    for size, wanted in {**near, "4 MiB": 4 * 2**20}.items():
        made = states.States(size)
        one, other = made.next(), made.next()
        data = states.encode(one)
        assert 0.95 < len(data) / wanted < 1.05, size
        assert data != states.encode(other)
        assert states.decode(data) == one


@pytest.fixture(params=[*CONTENDERS, OneByOne, *map(bare_in_order, bare.ORDERS)])
def contender(request: pytest.FixtureRequest) -> type[Contender]:
    found: type[Contender] = request.param
    reason = found.missing()
    if reason is not None:
        pytest.skip(f"installed for `make bench` alone: {reason}")
    return found


def test_each_contender_keeps_what_is_saved(contender: type[Contender], tmp_path: Path) -> None:
    made = states.States("1 KiB")
    with closing(contender(str(tmp_path))) as store:
        store.fill({"b": made.next(), "a": made.next()})
        for _ in range(4):
            state = made.next()
            store.save("c", state)
            assert store.get("c") == state
        batch = {key: made.next() for key in "bcd"}
        store.save_many(batch)
        assert {key: store.get(key) for key in "bcd"} == batch
        assert store.list() == ["a", "b", "c", "d"]
        store.remove("c")
        assert store.list() == ["a", "b", "d"]
    assert contender.release()


def test_the_floor_verifies_what_it_reads(tmp_path: Path) -> None:
    with closing(bare.Bare(str(tmp_path / "store"))) as store:
        store.save("a", b"state")
        (tmp_path / "store" / "a" / "current").write_bytes(bare.seal(b"state") + b"!")
        with pytest.raises(ValueError, match="digest"):
            store.get("a")
        with pytest.raises(ValueError, match="digest"):
            store.save("a", b"other")


def test_a_contender_that_is_not_installed_says_so() -> None:
    class Absent(BareCalls):
        module = "no_such_module"

    assert Absent.missing() == "No module named 'no_such_module'"


def test_a_trace_is_that_of_one_contender(tmp_path: Path) -> None:
    made = states.States("1 KiB")
    save_and_close(by_name(FULL), str(tmp_path), [made.next(), made.next()])
    assert [path.name for path in tmp_path.glob("store/node-a/*")].count("current") == 1
    assert syncs.parse_trace("fsync(3) = 0\n12 fdatasync(4) = 0\nopenat(4, O_RDONLY) = 3") == (
        2,
        False,
    )


def test_a_run_measures_every_cell_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_DISK", 0)
    plan = running.Plan({"1 KiB": 2}, keys=(1, 3), lists=1, many=3, batches=1, seconds=60)
    said: list[str] = []
    times = running.Run(plan, str(tmp_path), said.append).times()
    single = [running.FIRST, running.NEXT, running.GET, running.REMOVE, running.LIST]
    many = [Cell("1 KiB", 3, name) for name in (running.MANY_FIRST, running.MANY_NEXT)]
    assert list(times) == [Cell("1 KiB", keys, name) for keys in (1, 3) for name in single] + many
    names = [item.name for item in CONTENDERS if item.missing() is None]
    for cell, taken in times.items():
        assert list(taken) == names + [MANY_APART] * (cell in many)
        counted = 1 if cell.operation == running.LIST or cell in many else 2
        assert all(len(values) == counted and min(values) > 0 for values in taken.values())
    assert list(tmp_path.iterdir()) == []
    assert any("best order" in line for line in said)


def test_a_run_refuses_a_disk_that_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_DISK", 2**62)
    with pytest.raises(SystemExit, match="bytes of disk"):
        running.Run(running.QUICK_RUN, str(tmp_path), lambda _: None).times()
