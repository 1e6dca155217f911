"""A model as one file that other programs run: its whole way from millivolts to probabilities, as one function."""
