"""Automatic diagnosis of the 12-lead ECG with JAX and Flax."""
