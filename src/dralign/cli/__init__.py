"""The command line: parse, call, show progress, print."""
