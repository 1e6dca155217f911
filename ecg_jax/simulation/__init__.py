"""Simulated 12-lead ECGs, labelled by construction."""

SAMPLING_RATE = 400.0  # Hz, of simulated recordings
