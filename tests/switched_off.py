"""Methods for tests of formulas: what a test does not give is switched off, not at its default."""

from dralign.methods import Method, build_method, method_type


def method_of(name: str, **options) -> Method:
    """The method with every setting that is not given as in a trial that does not use it."""
    off = {setting.name: setting.off for setting in method_type(name).settings}
    if "gap_bound" in options:
        off = {}
    return build_method(name, **{**off, **options})
