"""Training: the loop, its records, and selection of an epoch from them afterwards."""
