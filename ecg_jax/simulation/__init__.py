"""Simulated 12-lead ECGs, labelled by construction.

There are two simulators: `textbook` alone is the population of that name; `simulator` with the other modules is
`hospital`, whose findings are stated by `criteria`.
"""

SAMPLING_RATE = 400.0  # Hz, of simulated recordings
# The eight independent leads of a dipole (Dower et al. 1980, Clin Cardiol 3:87); x to the left, y to the feet, z to the
# back.
DOWER = {
    "I": (0.632, -0.235, 0.059),
    "II": (0.235, 1.066, -0.132),
    "V1": (-0.515, 0.157, -0.917),
    "V2": (0.044, 0.164, -1.387),
    "V3": (0.882, 0.098, -1.277),
    "V4": (1.213, 0.127, -0.601),
    "V5": (1.125, 0.127, -0.086),
    "V6": (0.831, 0.076, 0.230),
}
