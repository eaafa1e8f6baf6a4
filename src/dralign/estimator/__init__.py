"""The scikit-learn door: a classifier around the training loop."""

from dralign.tiers import require

require("dralign.estimator", "pandas", "scikit-learn")

from dralign.estimator.classifier import DRAlignClassifier

__all__ = ["DRAlignClassifier"]
