"""Methods: the ways to train, one file each, built by name in one place."""
