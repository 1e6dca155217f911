"""A model as one file that other programs run: one function from millivolts to probabilities."""
