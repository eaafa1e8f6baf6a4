"""Methods compared on one dataset, from Python: a function and its result."""

from dralign.tiers import require

require("dralign.comparing", "jinja2", "joblib", "matplotlib", "pandas", "plotly", "scipy")

from dralign.comparing.result import MethodComparison
from dralign.comparing.running import compare

__all__ = ["MethodComparison", "compare"]
