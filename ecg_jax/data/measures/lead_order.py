"""Which column is which limb lead, by Einthoven's and Goldberger's identities alone.

Two limb leads determine the other four (`recording.LIMB_LEADS`), so that a wrong order of the columns shows in the
signal itself. What the identities cannot see: interchanged limb electrodes (every arrangement of electrodes obeys
them), the order of V1 to V6, leads that were computed from others under wrong names, I against III without any
augmented lead, and which of aVR, aVL and aVF is which without I, II and III.
"""

import dataclasses
import functools

import numpy as np

from ecg_jax.data.measures import ranks
from ecg_jax.recording import LEADS, LIMB_LEADS, Recording, remembered

INVERTED = "-"  # precedes the name of a column that holds its lead upside down
BLOCKS = 10  # residuals are medians over this many stretches, so that one artefact decides nothing
LEAST_SAMPLES = 100
ENOUGH_RATE = 125.0  # Hz
MOSTLY = 0.25  # of a lead must be valid; the signal of a CODE exam may fill little more of its 4096 samples

# Calibrated on 850 recordings of seven sources in their own order, whose residuals are 0.041
# or less, and in seven wrong ones, where they are 0.15 or more, the right order's 0.036 or
# less and the next one's at least three times that. LUDB, whose leads are scaled one by one,
# has 0.07 to 1.0, and no order that fits it better than the next by a factor of two.
CONTRADICTED = 0.10
FITTING = 0.05
MARGIN = 2.5
EXACT = 0.01  # residuals below this, a matter of quantization, are alike


@dataclasses.dataclass(frozen=True)
class Order:
    """An order of the columns that obeys the identities where the present one does not.

    Attributes:
        leads: Names that fit the columns, one for each of the recording's; `-aVR` is an inverted aVR. None where
            several orders fit alike, or chest leads are between limb leads, so that their order is undetermined.
        residual: Of the present names: root mean square deviation from the identities, relative to the limb leads' own.
        best: The same of the order that fits best.
    """

    leads: tuple[str, ...] | None
    residual: float
    best: float


@remembered
def compute_products(recording: Recording) -> tuple[np.ndarray, list[str]]:
    """Inner products of the columns, which are all that the identities need.

    Returns:
        `[blocks, k, k]` over `BLOCKS` stretches, relative to each stretch's power, and the names of the k columns:
        standard leads that are neither flat nor mostly invalid, over the samples that are valid in all. No blocks if
        those are few.
    """
    step = max(int(recording.sampling_rate / ENOUGH_RATE), 1)  # the identities hold sample by sample
    signal, valid, names = recording.signal[::step], recording.valid[::step], recording.leads
    if not valid.all() or not set(names) <= set(LEADS):
        columns = [i for i in np.flatnonzero(valid.mean(axis=0) >= MOSTLY) if names[i] in LEADS]
        signal = signal[:, columns][valid[:, columns].all(axis=1)]
        names = tuple(names[i] for i in columns)
    length = len(signal) // BLOCKS
    if len(signal) < LEAST_SAMPLES or len(names) < 3:
        return np.empty((0, len(names), len(names))), list(names)
    stretches = signal[: BLOCKS * length].reshape(BLOCKS, length, -1)
    stretches = stretches - stretches.mean(axis=1, keepdims=True)
    products = np.matmul(stretches.transpose(0, 2, 1), stretches).astype(np.float64)
    power = np.trace(products, axis1=1, axis2=2)
    products = products[power > 0] / power[power > 0][:, None, None]
    moving = np.flatnonzero(np.diagonal(products, axis1=1, axis2=2).max(axis=0, initial=0) > 1e-7)
    return products[:, moving][:, :, moving], [names[i] for i in moving]


def measure_residual(products: np.ndarray, names: list[str], left_out: str | None = None) -> float:
    """How far limb leads, except `left_out`, are from the identities; see `compute_products` for the arguments.

    Returns:
        Root mean square of the part of the limb leads that no two leads explain, relative to their own: 0 where the
        identities hold. NaN with fewer than three limb leads.
    """
    limb = [name for name in names if name in LIMB_LEADS and name != left_out]
    if len(limb) < 3 or not len(products):
        return np.nan
    columns = [names.index(name) for name in limb]
    return _measure_unexplained(products[:, columns][:, :, columns], _find_plane(tuple(limb)))


@functools.lru_cache(maxsize=64)
def _find_plane(limb: tuple[str, ...]) -> np.ndarray:
    """An orthonormal basis `[k, 2]` of what limb leads can be."""
    basis, _ = np.linalg.qr(np.array([LIMB_LEADS[name] for name in limb]))
    return basis


def _measure_unexplained(products: np.ndarray, basis: np.ndarray) -> float:
    """Root mean square of the part of the columns outside a subspace, `[k, 2]` orthonormal, relative to their own."""
    total = np.trace(products, axis1=1, axis2=2)
    unexplained = total - (products @ basis * basis).sum(axis=(1, 2))
    return float(np.sqrt(max(float(ranks.median(unexplained / np.maximum(total, 1e-12))), 0.0)))


def are_simultaneous(products: np.ndarray, names: list[str]) -> bool:
    """Whether the limb leads are combinations of two signals, with any factors; True with fewer than three.

    Leads that were recorded together and then scaled one by one are, although they do not obey the identities; leads
    that were recorded one after the other are not.
    """
    columns = [names.index(name) for name in names if name in LIMB_LEADS]
    if len(columns) < 3 or not len(products):
        return True
    within = products[:, columns][:, :, columns]
    _, vectors = np.linalg.eigh(within.sum(axis=0))
    return _measure_unexplained(within, vectors[:, -2:]) <= CONTRADICTED


def find_order(recording: Recording) -> Order | None:
    """Searches the order of the columns of a recording in mV that obeys the identities.

    Returns:
        None where the present order fits, where nothing fits clearly better (noise, one bad lead, leads scaled one by
        one), and with too little to decide: fewer than three limb leads, or one that is flat or mostly invalid.
    """
    products, names = compute_products(recording)
    residual = measure_residual(products, names)
    if not residual > CONTRADICTED:
        return None
    limb = [name for name in LIMB_LEADS if name in recording.leads]
    if not set(limb) <= set(names):
        return None
    if len(limb) == 3:  # one equation among twelve columns is met by chance
        columns = [names.index(name) for name in limb]
        products, names = products[:, columns][:, :, columns], limb
    placed, best, runner_up = _search(products, limb)
    if best > min(FITTING, residual / MARGIN):
        return None
    alike = runner_up < MARGIN * max(best, EXACT)
    found = {names[column]: name for column, name in placed.items()}
    return Order(None if alike else _name_all(recording.leads, found), residual, best)


def _name_all(leads: tuple[str, ...], found: dict[str, str]) -> tuple[str, ...] | None:
    """New names of all columns: those found, and the chest leads in their order, if they are side by side."""
    rest = [i for i, name in enumerate(leads) if name in LEADS and name not in found]
    if rest and rest[-1] - rest[0] >= len(rest):
        return None
    others = iter([name for name in leads if name in LEADS and name not in LIMB_LEADS])
    return tuple(found.get(name) or (next(others) if name in LEADS else name) for name in leads)


def _search(products: np.ndarray, limb: list[str]) -> tuple[dict[int, str], float, float]:
    """Tries every pair of columns as the first two limb leads; the others are the columns that fit best.

    Returns the name of each column used, its residual, and that of the second best solution.
    """
    count = products.shape[1]
    cost = _costs(products, limb)  # [first, second, derived lead, column or inverted column]
    choice = cost.argmin(axis=-1)
    cheapest, second = np.moveaxis(np.partition(cost, 1, axis=-1)[..., :2], -1, 0)
    column = choice % count
    power = np.median(np.diagonal(products, axis1=1, axis2=2), axis=0)
    used = power[:, None] + power + power[column].sum(axis=-1)
    residual = np.sqrt(np.maximum(cheapest.sum(axis=-1), 0) / used)
    ordered = np.sort(column, axis=-1)
    residual[(ordered[..., 1:] == ordered[..., :-1]).any(axis=-1) | np.eye(count, dtype=bool)] = np.inf
    first, other = np.unravel_index(residual.argmin(), residual.shape)
    best, column, choice = residual[first, other], column[first, other], choice[first, other]
    replaced = cheapest[first, other].sum() + (second - cheapest)[first, other].min()
    runner_up = min(np.partition(residual.ravel(), 1)[1], np.sqrt(max(replaced, 0) / used[first, other]))
    signs = ["" if pick < count else INVERTED for pick in choice]
    names = [*limb[:2], *(sign + name for sign, name in zip(signs, limb[2:], strict=True))]
    return dict(zip([int(first), int(other), *column.tolist()], names, strict=True)), float(best), float(runner_up)


def _costs(products: np.ndarray, limb: list[str]) -> np.ndarray:
    """Mean squares of column - (a * first + b * second), `[k, k, derived leads, 2 k]`; inverted columns second.

    Only aVR is tried upside down: Cabrera's sequence draws it so.
    """
    count = products.shape[1]
    square = np.diagonal(products, axis1=1, axis2=2)
    vectors = np.array([LIMB_LEADS[name] for name in limb])
    cost = np.full((count, count, len(limb) - 2, 2, count), np.inf)
    for k, (a, b) in enumerate(vectors[2:] @ np.linalg.inv(vectors[:2])):
        pair = a * a * square[:, :, None] + b * b * square[:, None, :] + 2 * a * b * products
        cross = 2 * (a * products[:, :, None, :] + b * products[:, None, :, :])
        for inverted, sign in enumerate((1, -1) if limb[k + 2] == "aVR" else (1,)):
            squares = square[:, None, None, :] + pair[..., None] - sign * cross
            cost[:, :, k, inverted] = np.median(squares, axis=0)
    same = np.arange(count)
    cost[same, :, :, :, same] = cost[:, same, :, :, same] = np.inf
    return cost.reshape(count, count, len(limb) - 2, 2 * count)
