"""Assigns groups to parts so that every label is as frequent in each part as in the whole.

After iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, ECML PKDD, doi 10.1007/978-3-642-23808-6_10): the
group with the rarest label comes first, and goes where it is wanted most. Groups with equal counts are assigned
together, so that millions take seconds.
"""

import hashlib

import numpy as np
import pandas as pd


def draw(groups: np.ndarray, labels: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Draws a part for every recording, whole groups at a time.

    The result depends on groups, labels, shares and seed, not on the order of the recordings. No part is empty where
    there are as many groups as parts.

    Args:
        groups: `[N]` str, who stays together.
        labels: `[N, C]` float32 in {1, 0, NaN}; where a label is known is balanced as well.
        shares: `[P]`, each above 0, sum 1.
        seed: Chooses the draw.

    Returns:
        `[N]` int64 from 0 to P - 1.
    """
    group, names = pd.factorize(groups)
    counts = _count(group, labels, len(names))
    kind = pd.DataFrame(counts).groupby([*range(counts.shape[1])]).ngroup().to_numpy()
    members = np.bincount(kind)
    key = _hash(names, seed)
    order = np.lexsort((key, kind))  # groups, by kind, then at random
    first = order[np.cumsum(members) - members]
    dealt = _deal(counts[first].astype(np.float64), members, key[first], np.asarray(shares, np.float64))
    part = np.empty(len(names), np.int64)
    part[order] = np.repeat(np.tile(np.arange(len(shares)), len(members)), dealt.reshape(-1))
    return _fill_empty(part, counts[:, -1], key, len(shares))[group]


def _count(group: np.ndarray, labels: np.ndarray, size: int) -> np.ndarray:
    """`[groups, K]`: each group's positives per label, known ones where some are not, and recordings."""
    partly = [known for known in ~np.isnan(labels).T if not known.all()]
    partly = [*{known.tobytes(): known for known in partly}.values()]  # labels of one source are unknown together
    columns = [*(labels == 1).T, *partly, np.ones(len(group), bool)]
    counts = [np.bincount(group[column], minlength=size) for column in columns if column.any()]
    table = np.stack(counts, axis=1)
    return table.astype(np.min_scalar_type(table.max(initial=0)))


def _hash(names: np.ndarray, seed: int) -> np.ndarray:
    digests = b"".join(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8] for name in names)
    return np.frombuffer(digests, "<u8")


def _deal(kinds: np.ndarray, members: np.ndarray, key: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How many members of each kind go to each part, `[kinds, P]`.

    Each part takes its share, rounded down; who is left over goes where the sum of (count - expected)^2 / expected over
    parts and columns grows least.
    """
    total = members @ kinds
    expected = shares[:, None] * total
    rarity = np.where(kinds > 0, total, np.inf).min(axis=1)
    size = np.frexp(kinds[:, -1])[1]  # by powers of two: chance stays among those of about the same size
    dealt = np.floor(members[:, None] * shares + 1e-9).astype(np.int64)
    count = np.zeros_like(expected)
    for row in np.lexsort((key, -size, rarity)):
        values = kinds[row]
        count += dealt[row][:, None] * values
        for _ in range(members[row] - dealt[row].sum()):
            growth = ((2 * (count - expected) + values) * values / expected).sum(axis=1)
            chosen = np.argmin(growth.round(9))  # equal ones are equal on every machine
            dealt[row, chosen] += 1
            count[chosen] += values
    return dealt


def _fill_empty(part: np.ndarray, size: np.ndarray, key: np.ndarray, parts: int) -> np.ndarray:
    """Gives every empty part the smallest group of the part that has most, as far as there are groups."""
    for empty in np.flatnonzero(np.bincount(part, minlength=parts) == 0) if len(part) >= parts else ():
        rows = np.flatnonzero(part == np.bincount(part).argmax())
        part[rows[np.lexsort((key[rows], size[rows]))[0]]] = empty
    return part
