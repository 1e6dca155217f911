"""Times of atrial and ventricular beats.

In most rhythms an atrial beat precedes each ventricular one by the PR interval; in second-degree block some are not
conducted, in third-degree block both are independent, in fibrillation and flutter continuous waves replace the atrial
beats (`draw_atrial_waves`).
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from ecg_jax.simulation.draws import Draws

if TYPE_CHECKING:
    from ecg_jax.simulation.patients import Patient

RHYTHMS = ("sinus", "fibrillation", "flutter", "tachycardia", "junctional", "paced", "second_degree", "third_degree")
SINUS, FIBRILLATION, FLUTTER, TACHYCARDIA, JUNCTIONAL, PACED, SECOND_DEGREE, THIRD_DEGREE = range(len(RHYTHMS))
BEATS = 44  # more than in 10.24 s at 220 per minute with a lead-in
NEVER = 1e3  # seconds: the time of an absent beat
_REFRACTORY = 0.27  # seconds between ventricular beats, at least


class Rhythm(NamedTuple):
    """Beats in order of time; absent ones are at `NEVER`."""

    ventricular: jax.Array  # `[BEATS]` seconds, the onsets of QRS complexes
    interval: jax.Array  # `[BEATS]` seconds since the ventricular beat before
    is_ectopic: jax.Array  # `[BEATS]` bool: begins in the ventricles, aside of the conduction system
    atrial: jax.Array  # `[BEATS]` seconds, the onsets of P waves
    is_premature: jax.Array  # `[BEATS]` bool: this P wave comes early, from elsewhere in the atria
    mean_interval: jax.Array  # seconds, between ventricular beats without ectopy
    flutter_cycle: jax.Array  # seconds, of a flutter wave
    breath: jax.Array  # frequency in Hz and phase of respiration, `[2]`


class Ectopy(NamedTuple):
    """How often beats come early: the chance of a beat whose predecessor did not."""

    ventricular: jax.Array  # of beats that begin in the ventricles, each followed by a compensatory pause
    atrial: jax.Array  # of beats that begin elsewhere in the atria
    run: jax.Array  # chance that a ventricular one is followed by others at once
    pause: jax.Array  # chance of a beat that fails to come


def draw_ectopy(draws: Draws, ventricular: float | jax.Array, atrial: float | jax.Array) -> Ectopy:
    """Draws a patient's ectopy; the arguments are the shares of patients with premature beats."""
    return Ectopy(
        ventricular=draws.flip(ventricular) * jnp.minimum(draws.lognormal(0.15, 0.9), 0.9),
        atrial=draws.flip(atrial) * jnp.minimum(draws.lognormal(0.15, 0.9), 0.9),
        run=draws.uniform(0.0, 0.15),
        pause=draws.flip(0.02) * 0.1,
    )


def draw_rhythm(draws: Draws, patient: "Patient", pr: jax.Array, ectopy: Ectopy) -> Rhythm:
    """Draws the beats of a recording that starts at 0; `pr` is in seconds.

    Sinus rhythm is modulated by respiration at 0.15 to 0.4 Hz, more in the young, and by the Mayer wave near 0.1 Hz
    (Task Force of the ESC and NASPE 1996, Circulation 93:1043), and drifts; fibrillation has independent intervals;
    flutter conducts every second to sixth wave of 240 to 333 per minute, close to the patient's rate.
    """
    kind = patient.rhythm
    number = jnp.arange(BEATS)
    mean = patient.mean_interval
    breathing, mayer = draws.uniform(0.15, 0.4), draws.uniform(0.07, 0.13)
    swing = draws.lognormal(0.02, 0.7) * jnp.exp((55 - patient.age) / 45) * jnp.minimum(mean / 0.8, 1.1)
    swing = jnp.minimum(swing, 0.15)
    about = number * mean  # approximate times of beats, for their modulation
    phases = draws.uniform(0.0, 2 * jnp.pi, 2)
    sinus = (
        swing * jnp.sin(2 * jnp.pi * breathing * about + phases[0])
        + draws.uniform(0.0, 0.02) * jnp.sin(2 * jnp.pi * mayer * about + phases[1])
        + draws.normal(0.0, 0.006, BEATS)
        + jnp.cumsum(draws.normal(0.0, 0.002, BEATS))
    )
    steady = draws.normal(0.0, 0.003, BEATS)
    scatter = draws.uniform(0.10, 0.30) * jnp.clip(mean / 0.6, 0.6, 1.2)
    irregular = jnp.exp(scatter * draws.normal(count=BEATS)) - 1
    wave, is_fixed = draws.uniform(0.18, 0.25), draws.flip(0.6)
    ratio = jnp.clip(mean / wave + jnp.where(is_fixed, 0.0, draws.normal(0.0, 0.8, BEATS)), 2, 6)
    fluttering = jnp.round(ratio) * wave / mean - 1
    modulation = jnp.select(
        [kind == FIBRILLATION, kind == FLUTTER, (kind == SINUS) | (kind == SECOND_DEGREE)],
        [irregular, fluttering, sinus],
        steady,
    )
    interval = mean * (1 + modulation)

    # Premature beats, two in a row only in runs, with nearly constant coupling.
    has_waves = (kind == SINUS) | (kind == SECOND_DEGREE)
    early = draws.flip(ectopy.ventricular, BEATS) & (kind != PACED) & (kind != TACHYCARDIA)
    early = early & ~_after(early)
    second = _after(early) & draws.flip(ectopy.run, BEATS)
    run = early | second | (_after(second) & draws.flip(ectopy.run, BEATS))
    atrial = draws.flip(ectopy.atrial, BEATS) & has_waves & ~run & ~_after(run)
    atrial = atrial & ~_after(atrial)
    pause = draws.flip(ectopy.pause, BEATS) & has_waves & ~run & ~_after(run) & ~atrial & ~_after(atrial)
    coupling = draws.uniform(0.45, 0.75) + draws.normal(0.0, 0.02, BEATS)
    coupling_atrial = draws.uniform(0.55, 0.85) + draws.normal(0.0, 0.03, BEATS)
    reset = draws.uniform(1.0, 1.25)
    factor = jnp.select(
        [run, _after(run), atrial, _after(atrial), pause],
        [coupling, jnp.maximum(2 - coupling, 1.0), coupling_atrial, reset, draws.uniform(1.6, 2.4)],
        1.0,
    )
    interval = jnp.maximum(interval * factor, _REFRACTORY)
    lead_in = draws.uniform(1.0, 2.0) * mean + 0.2  # a recording begins anywhere in a beat
    ventricular = jnp.cumsum(interval) - interval[0] - lead_in

    # Conducted atrial beats. An early ventricular beat does not reset the atria, whose waves are hidden in runs.
    linked = jnp.where(run, jnp.where(_after(run), NEVER, ventricular + (1 - coupling) * mean - pr), ventricular - pr)
    rate_atrial = draws.uniform(60.0, 105.0)
    own = (number - 3 + draws.uniform() + 0.3 * swing * jnp.sin(phases[0] + number)) * 60 / rate_atrial
    is_dissociated = (kind == THIRD_DEGREE) | ((kind == PACED) & draws.flip(0.3))
    has_retrograde = (kind == JUNCTIONAL) & draws.flip(0.4)
    leads = has_waves | ((kind == PACED) & draws.flip(0.5))
    atrial_times = jnp.select(
        [is_dissociated, has_retrograde, leads],
        [own, ventricular + draws.uniform(-0.08, 0.14), linked],
        NEVER,
    )

    # Second-degree block: of every `cycle` atrial beats the last is not conducted; Wenckebach's PR grows until then.
    cycle = 2 + draws.choose([0.3, 0.3, 0.25, 0.15])
    place = (number + draws.choose([1.0, 1.0, 1.0])) % cycle
    growth = draws.flip(0.6) * draws.uniform(0.03, 0.09) * jnp.sqrt(place.astype(jnp.float32)) * (cycle > 2)
    is_second = kind == SECOND_DEGREE
    dropped = is_second & (place == cycle - 1) & ~run
    ventricular = jnp.where(is_second & ~run, ventricular + growth, ventricular)
    ventricular = jnp.where(dropped, NEVER, ventricular)

    order = jnp.argsort(ventricular)
    ventricular = ventricular[order]
    before = jnp.concatenate([ventricular[:1] - mean, ventricular[:-1]])
    order_atrial = jnp.argsort(atrial_times)
    return Rhythm(
        ventricular=ventricular,
        interval=jnp.clip(ventricular - before, _REFRACTORY, 3.0),
        is_ectopic=run[order],
        atrial=atrial_times[order_atrial],
        is_premature=((atrial | has_retrograde) & ~is_dissociated)[order_atrial],
        mean_interval=mean,
        flutter_cycle=wave,
        breath=jnp.stack([breathing, phases[0]]),
    )


def _after(mask: jax.Array) -> jax.Array:
    """True for beats whose predecessor is in the mask."""
    return jnp.concatenate([jnp.zeros((1,), bool), mask[:-1]])


def draw_atrial_waves(draws: Draws, kind: jax.Array, time: jax.Array, flutter_cycle: jax.Array) -> jax.Array:
    """Waves of fibrillation or flutter, as dipoles `[T, 3]` mV at times `[T]` seconds; zero in other rhythms.

    Fibrillation: three wandering oscillators of 4 to 9 Hz, each with a direction of its own, with varying harmonics,
    largest towards V1 (after the model of Stridh & Soernmo 2001, IEEE Trans Biomed Eng 48:105). Flutter: a saw tooth,
    downwards in the inferior leads.
    """
    basic = draws.uniform(4.2, 8.5)
    depth = draws.lognormal(0.035, 0.6)
    waves = []
    for share in (1.0, 0.5, 0.35):
        frequency = basic * (1 + draws.normal(0.0, 0.06))
        wander, speed = draws.uniform(0.1, 0.5), draws.uniform(0.1, 0.4)
        rises, phases = draws.uniform(0.2, 0.9), draws.uniform(0.0, 2 * jnp.pi, 4)
        drift = wander / (2 * jnp.pi * speed) * jnp.cos(2 * jnp.pi * speed * time + phases[0])
        phase = 2 * jnp.pi * (frequency * time - drift)
        swell = 1 + 0.5 * jnp.sin(2 * jnp.pi * rises * time + phases[1])
        shape = jnp.sin(phase + phases[2]) + draws.uniform(0.1, 0.5) * jnp.sin(2 * phase + phases[3])
        direction = draws.rotation(0.6) @ jnp.array([-0.2, 0.6, -0.9])
        waves.append(share * (swell * shape)[:, None] * direction)
    fibrillating = depth * sum(waves)
    phase = 2 * jnp.pi * (time / flutter_cycle + draws.uniform())
    tooth = jnp.sin(phase) + 0.5 * jnp.sin(2 * phase + 0.3) + 0.2 * jnp.sin(3 * phase + 0.6)
    direction = draws.rotation(0.4) @ jnp.array([0.0, draws.flip(0.8) * 2.0 - 1.0, -0.35])
    fluttering = draws.lognormal(0.11, 0.4) * tooth[:, None] * direction
    kinds = [(kind == FIBRILLATION)[None, None], (kind == FLUTTER)[None, None]]
    return jnp.select(kinds, [fibrillating, fluttering], 0.0)
