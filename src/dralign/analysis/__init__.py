"""What is concluded from the records of a study: rows, comparisons, fronts and curves."""

from dralign.tiers import require

require("dralign.analysis", "joblib", "pandas", "scipy")

from dralign.analysis.comparison import Comparison, compare_methods, compare_with_baseline
from dralign.analysis.contrast import Contrast
from dralign.analysis.curves import Curve, learning_curves
from dralign.analysis.export import record_table
from dralign.analysis.fronts import front, gap_at, hypervolume
from dralign.analysis.rows import Interval, Row, Setting, summarise
from dralign.analysis.significance import PValues, Ratio, holm, p_values, ratio_of_means

__all__ = [
    "Comparison",
    "Contrast",
    "Curve",
    "Interval",
    "PValues",
    "Ratio",
    "Row",
    "Setting",
    "compare_methods",
    "compare_with_baseline",
    "front",
    "gap_at",
    "holm",
    "hypervolume",
    "learning_curves",
    "p_values",
    "ratio_of_means",
    "record_table",
    "summarise",
]
