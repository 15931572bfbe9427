"""`python -m benchmarks` measures against peers, `python benchmarks/bars.py` against the bars."""
