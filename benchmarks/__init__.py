"""Figures with their targets: `python -m benchmarks [NAME ...]`, written to `benchmarks/results/NAME.json`.

Each benchmark makes its own input from a seed, measures everything at least three times and gives medians.
Machines are noisy; ratios within one run say more than figures of two runs.
"""
