"""Benchmarks: one file a hot path against its oracle, one a scenario against every peer on PATH.

Takes the names of benchmarks, gives rows (measured values, and ratios with their targets) and a record of the machine.
`python -m benchmarks --help` runs them; README.md says what is measured and how a figure may be quoted.
"""
