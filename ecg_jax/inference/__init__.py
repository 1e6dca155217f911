"""From a stored model and ECG files to probabilities."""
