"""The scikit-learn door: a classifier around the training loop, and one around any classifier."""

from dralign.tiers import require

require("dralign.estimator", "pandas", "scikit-learn")

from dralign.estimator.classifier import DRAlignClassifier
from dralign.estimator.frontier import Frontier
from dralign.estimator.plugin import PluginClassifier

__all__ = ["DRAlignClassifier", "Frontier", "PluginClassifier"]
