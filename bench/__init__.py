"""Where every published number comes from: ratios against baselines that are taken in the same run."""
