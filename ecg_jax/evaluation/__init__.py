"""Numbers only: scores of probabilities or predicted numbers against labels, their intervals, and comparisons.

Arguments with these names mean the same throughout:

- `label` `[N]`, `labels` `[N, C]`: 1 present, 0 absent, NaN unknown, which is left out; `names`: the C labels.
- `truth` `[N]`: bool, of known labels; in `moments`, `regression` and `tenths` true numbers, NaN unknown.
- `called` `[N]`, `[N, C]`: bool, called positive.
- `probability` `[N]`, `probabilities` `[N, C]`: 0 to 1. `score`, `ranking` `[N]`: higher where more likely present.
- `unit` `[N]`: int, the patient of each recording; None where each recording is its own.
- `level`: coverage of an interval, in (0, 1). `resamples`: of the bootstrap, 0 for none, drawn from `seed`.
- `settings`: see `settings.Settings`.
"""
