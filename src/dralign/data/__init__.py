"""Data: real datasets and users' own tables, as one frozen Dataset."""
