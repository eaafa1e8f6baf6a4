"""The trade-off figure: every method and weight is there, and the file is whole."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image, rc_context
from matplotlib.figure import Figure

import records as made_up
from dralign.analysis import Interval, summarise
from dralign.errors import OutputError
from dralign.report import tradeoff_figure, write_figure
from dralign.report.front import ShownFront, front_drawing
from dralign.report.labels import axis_range, panels
from dralign.training import Selection


def rows(specs=None):
    found = made_up.records(made_up.specs() if specs is None else specs)
    return summarise(found, selection=Selection())


def test_the_figure_names_data_selection_n_methods_and_weights():
    (ax,) = tradeoff_figure(rows()).axes
    words = [text.get_text() for text in ax.texts]
    assert words.count("λ=0.2") == words.count("λ=0.5") == 2
    assert any(
        "n = 3" in word and "smallest base-rate gap, first 1 left out" in word for word in words
    )
    assert ax.get_title(loc="left") == "adult, paper preparation"
    assert "demographic parity" in ax.get_ylabel()
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["non-dominated", "erm", "oversample", "gap", "dralign"]


def test_a_figure_becomes_a_file_in_a_folder_that_is_made_for_it(tmp_path):
    path = write_figure(tradeoff_figure(rows()), tmp_path / "new" / "tradeoff.png")
    pixels = image.imread(path)
    assert pixels.shape[1] > 1000
    assert np.ptp(pixels) == 1.0


def test_a_figure_keeps_its_look_where_others_draw_it(tmp_path):
    """Ticks are made as it is drawn, when the style of its making is gone."""
    figure = tradeoff_figure(rows())
    loud = {"font.size": 30, "xtick.labelsize": 40, "grid.color": "red", "grid.linewidth": 9}
    with rc_context(loud):
        figure.set_size_inches(20, 14)  # more ticks than before
        figure.savefig(tmp_path / "wide.png", dpi=50)
    (ax,) = figure.axes
    ticks = [*ax.xaxis.get_major_ticks(), *ax.yaxis.get_major_ticks()]
    assert {tick.label1.get_fontsize() for tick in ticks} == {9.5}
    assert {tick.gridline.get_linewidth() for tick in ticks} == {0.7}


def test_each_data_set_and_gap_has_a_panel():
    specs = [*made_up.specs(), *made_up.specs(gap="equalized_odds")]
    assert len(tradeoff_figure(rows(specs)).axes) == 2


def test_wide_intervals_of_few_seeds_leave_the_frame_and_points_do_not():
    found = rows(made_up.specs(seeds=[0, 1]))
    (ax,) = tradeoff_figure(found).axes
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    means = [(row.average_precision.mean, row.gap.mean) for row in found]
    assert all(left < ap < right and low < gap < high for ap, gap in means)
    precisions = [ap for ap, _ in means]
    assert right - left < 2.5 * (max(precisions) - min(precisions))


def test_many_panels_stand_in_rows_of_three():
    gaps = ["equalized_odds", "equal_opportunity", "predictive_parity"]
    specs = [spec for gap in gaps for spec in made_up.specs(gap=gap)]
    figure = tradeoff_figure(rows([*made_up.specs(), *specs]))
    assert [ax.axison for ax in figure.axes] == [True] * 4 + [False] * 2


def test_one_seed_draws_points_without_bars():
    (ax,) = tradeoff_figure(rows(made_up.specs(seeds=[0]))).axes
    assert len(ax.containers) == 4
    bars = [bar for container in ax.containers for bar in container[2]]
    assert not any(segment.size for bar in bars for segment in bar.get_segments())
    assert any("one seed, no interval" in text.get_text() for text in ax.texts)


def test_names_are_shown_as_they_are_not_read_as_formulas(tmp_path):
    hostile = replace(made_up.ADULT, name=r"$\frac$ {a}_b.csv", preparation="standard")
    figure = tradeoff_figure(rows(made_up.specs(data=hostile)))
    assert write_figure(figure, tmp_path / "tradeoff.svg").stat().st_size


def test_no_rows_is_an_empty_figure(tmp_path):
    assert write_figure(tradeoff_figure([]), tmp_path / "tradeoff.png").stat().st_size


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "tradeoff.png"
    path.write_bytes(b"old")

    def full(self, file, **kwargs):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OutputError, match=r"tradeoff\.png: can't be written: No space left"):
        write_figure(tradeoff_figure(rows()), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_drawing_needs_no_display_and_changes_no_global_style():
    code = (
        f"import sys; sys.path = {sys.path!r}; import tempfile, matplotlib, records\n"
        "from dralign.report import tradeoff_figure, write_figure\n"
        "from dralign.analysis import summarise\n"
        "from dralign.training import Selection\n"
        "before = matplotlib.rcParams.copy()\n"
        "rows = summarise(records.records(), selection=Selection())\n"
        "write_figure(tradeoff_figure(rows), tempfile.mkdtemp() + '/t.png')\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_forms_of_one_gap_share_a_panel_and_are_told_apart():
    trained = [
        *made_up.specs(seeds=[0]),
        *made_up.specs(seeds=[0], gap="all_cutoffs_demographic_parity"),
    ]
    [panel] = panels(rows(trained))
    assert panel.gap == "demographic_parity"
    assert {"gap (gap demographic_parity)", "gap (gap all_cutoffs_demographic_parity)"} <= set(
        panel.curves()
    )
    others = panels(rows([*made_up.specs(seeds=[0]), *made_up.specs(gap="equalized_odds")]))
    assert [one.gap for one in others] == ["demographic_parity", "equalized_odds"]


def test_an_axis_of_means_that_are_equal_but_for_rounding_has_room():
    means = (0.036, float(np.nextafter(0.036, 1)))
    low, high = axis_range([Interval(mean, 0.283, 2) for mean in means])
    assert (low, high) == pytest.approx((-0.014, 0.086))


def test_a_small_difference_looks_small_on_an_axis_that_spans_at_least_so_much():
    near = [Interval(0.973, 0.001, 3), Interval(0.981, 0.001, 3)]
    low, high = axis_range(near, least=0.05)
    assert (high - low, (high + low) / 2) == pytest.approx((0.05, 0.977))
    far = [Interval(0.6, 0.001, 3), Interval(0.9, 0.001, 3)]
    assert axis_range(far, least=0.05) == axis_range(far)


@pytest.mark.parametrize(
    ("points", "chosen", "labels"),
    [
        ([(0.85, 0.06), (0.87, 0.03), (0.89, 0.01)], 1, ["λ=0", "λ=1", "λ=3"]),
        ([(0.85, 0.06), (0.8891, 0.01), (0.889, 0.01)], 1, ["λ=0", "λ=1, 3"]),
        ([(0.85, 0.06), (0.85, 0.06), (0.85, 0.06)], 0, ["λ=0, 3"]),
        ([(0.85, 0.0), (0.87, 0.03), (0.89, 0.2)], 2, ["λ=0", "λ=3"]),
        ([(0.85, 0.06), (0.87, 0.02), (0.89, 0.013)], 2, ["λ=0", "λ=3"]),
    ],
)
def test_weights_of_a_front_are_named_without_hiding_each_other(points, chosen, labels):
    figures = tuple(
        {"average_precision": ap, "base_rate_demographic_parity": gap} for ap, gap in points
    )
    intervals = ({"average_precision": (0.8, 0.9), "base_rate": (0.0, 0.3)},) * 3
    shown = ShownFront(
        "", "dralign", "demographic_parity", "base_rate", "test", (0, 1, 3), figures, intervals
    )
    figure = front_drawing(shown, chosen)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    named = [text for text in ax.texts if text.get_text().startswith("λ")]
    assert [text.get_text() for text in named] == labels
    assert all(text.get_window_extent().y0 > ax.bbox.y0 for text in named)
