"""The benchmarks: ratios against baselines measured in the same run. Every published figure comes from here."""
