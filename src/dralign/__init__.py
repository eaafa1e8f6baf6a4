"""Decision rationale alignment: train and audit classifiers by what matters to each group."""
