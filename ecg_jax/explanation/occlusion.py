"""Occlusion (Zeiler and Fergus 2014, ECCV) of whole waves and leads.

The value of a part is the drop of the logit when it alone is removed, so that parts that say the same have no value.
"""

from typing import Any

import numpy as np

from ecg_jax.explanation import removal
from ecg_jax.explanation.logits import Apply


def occlude(
    apply: Apply, variables: Any, signal: np.ndarray, output: int, segments: np.ndarray, players: str = "parts"
) -> np.ndarray:
    """Drops of a logit.

    Args:
        apply: See `logits`.
        variables: Of the network.
        signal: `[B, T, L]`.
        output: Which logit.
        segments: `[B, T]` int8, see `segments.label_samples`.
        players: What is removed, one of `removal.PLAYERS`.

    Returns:
        `[B, P]` float32: positive where the logit is lower without the player.

    Raises:
        InputError: on other players.
    """
    count = removal.count_players(players, signal.shape[2])
    present = np.concatenate([np.ones((1, count), bool), ~np.eye(count, dtype=bool)])
    scores = removal.compute_logits(apply, variables, signal, output, segments, players, present)
    return scores[:, :1] - scores[:, 1:]
