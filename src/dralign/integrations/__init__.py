"""dralign inside of other packages: a file for each, which is loaded when it is asked for.

None of them is needed by any other part; each says in one line what to install where its package is
not there.
"""
