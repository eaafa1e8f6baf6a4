"""Studies: many trials, run on all cores, kept in one ledger, summarised with intervals."""
