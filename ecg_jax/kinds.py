"""Kinds of labels, and what suits each: losses, and scores of a run on its validation split."""

FINDING, NUMBER = KINDS = ("finding", "number")  # present or absent; or a quantity, such as age in years
LOSSES = {FINDING: ("cross_entropy",), NUMBER: ("mse", "mae", "huber")}  # the first is the default
SCORES = {FINDING: ("loss", "auroc", "average_precision"), NUMBER: ("loss", "mae", "rmse", "r2", "pearson")}
IN_UNITS = ("mae", "rmse")  # of numbers, in their unit: means over several say nothing
HIGHER_IS_BETTER = ("auroc", "average_precision", "r2", "pearson")
EVERY_SCORE = tuple(dict.fromkeys(name for kind in KINDS for name in SCORES[kind]))
EVERY_LOSS = tuple(name for kind in KINDS for name in LOSSES[kind])
