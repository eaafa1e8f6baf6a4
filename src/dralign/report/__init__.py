"""Reports: tables, figures and pages drawn from records."""
