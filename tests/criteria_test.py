"""What a simulated reader states agrees with what was drawn and measured, outside the zone where readers differ."""

import jax
import numpy as np
import pytest

from ecg_jax import statements
from ecg_jax.recording import LEADS
from ecg_jax.simulation import conduction, criteria, rhythm
from ecg_jax.simulation.pathology import PATHOLOGIES
from ecg_jax.simulation.simulator import Population, describe_many

ONE, II, III, AVR, AVL, AVF, V1, V2, V3, V4, V5, V6 = range(12)
INFERIOR, LATERAL, ANTERIOR = [II, III, AVF], [ONE, AVL, V5, V6], [V2, V3, V4]
WALLS = ([ONE, AVL, V4, V5, V6], ANTERIOR, INFERIOR)


NOBODY = np.zeros(6000, bool)


class Patients:
    """Truth of 6,000 patients, and what is stated of them."""

    def __init__(self, truth):
        self.truth, self.m = truth, truth["measures"]
        self.rate, self.pr, self.qrs = truth["rate"], truth["pr"], truth["qrs"]
        self.sinus = truth["rhythm"] == rhythm.SINUS
        self.paced = truth["rhythm"] == rhythm.PACED
        self.male = truth["is_male"]
        self.has = dict(zip(PATHOLOGIES, truth["pathology"].T, strict=True))
        self.right, self.left = (
            np.isin(truth["conduction"], kinds) & ~self.paced
            for kinds in (conduction.RIGHT_BLOCKS, conduction.LEFT_BLOCKS)
        )
        self.preexcited = self.drawn("preexcitation") & ~self.paced
        self.readable = ~(self.paced | self.preexcited | (self.left & (self.qrs > 0.1)))  # ST, T and Q mean something

    def stated(self, code):
        return self.truth["stated"][:, criteria.NAMES.index(code)]

    def drawn(self, name):
        return self.truth["conduction"] == list(conduction.CONDUCTIONS).index(name)

    def of(self, name):
        return self.truth["rhythm"] == rhythm.RHYTHMS.index(name)

    def two(self, found, wall):
        return found[:, wall].sum(axis=1) >= 2


@pytest.fixture(scope="module")
def patients():
    blocks = jax.random.split(jax.random.key(0), 6000).reshape(6, 1000)  # as many at once as other tests draw
    parts = [jax.device_get(describe_many(keys, Population())[1]) for keys in blocks]
    return Patients(jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts))


def depressed(p, limit):
    return np.any([p.two(p.m.st <= -limit, wall) for wall in WALLS], axis=0)


# Code: who certainly has it, and who certainly has not.
CERTAIN = {
    "SBRAD": lambda p: (p.sinus & (p.rate < 44), ~p.sinus | (p.rate > 66)),
    "STACH": lambda p: (p.sinus & (p.rate > 106), ~p.sinus | (p.rate < 94)),
    "SR": lambda p: (p.stated("NORM") & (np.abs(p.rate - 80) < 14) & ~p.stated("SARRH"), ~p.sinus),
    "AFIB": lambda p: (p.of("fibrillation"), ~p.of("fibrillation")),
    "AFLT": lambda p: (p.of("flutter"), ~p.of("flutter")),
    "SVTAC": lambda p: (p.of("tachycardia"), ~p.of("tachycardia")),
    "SVARR": lambda p: (p.of("junctional"), ~p.of("junctional")),
    "PACE": lambda p: (p.paced, ~p.paced),
    "2AVB": lambda p: (p.of("second_degree"), ~p.of("second_degree")),
    "3AVB": lambda p: (p.of("third_degree"), ~p.of("third_degree")),
    "PVC": lambda p: (NOBODY, ~p.truth["is_ectopic"].any(axis=1)),
    "1AVB": lambda p: (p.sinus & (p.pr > 0.235), ~p.sinus | (p.pr < 0.165)),
    "CRBBB": lambda p: (p.right & (p.qrs > 0.142), ~p.right | (p.qrs < 0.098)),
    "IRBBB": lambda p: (NOBODY, ~p.right | (p.qrs > 0.142)),
    "CLBBB": lambda p: (p.left & (p.qrs > 0.142), ~p.left | (p.qrs < 0.098)),
    "ILBBB": lambda p: (p.left & (p.qrs < 0.098), ~p.left | (p.qrs > 0.142)),
    "IVCD": lambda p: (p.drawn("nonspecific_delay") & (p.qrs > 0.132) & ~p.paced, p.qrs < 0.088),
    "WPW": lambda p: (p.preexcited, ~p.preexcited),
    "LAFB": lambda p: (
        p.drawn("LAFB") & (np.abs(p.m.axis + 72) < 6) & p.readable & ~p.two(p.m.q > 0.02, INFERIOR),
        (np.abs(p.m.axis - 86) < 94) | p.paced | p.preexcited,
    ),
    "LPFB": lambda p: (p.drawn("LPFB") & (np.abs(p.m.axis - 135) < 22) & ~p.paced, np.abs(p.m.axis) < 68),
    "IMI": lambda p: (
        p.has["inferior_infarction"] & p.two((p.m.q > 0.2) & (p.m.q_width > 0.04), INFERIOR) & p.readable
        & ~p.two(p.m.q > 0.02, LATERAL) & ~p.has["posterior_infarction"],
        ~p.two(p.m.q > 0.02, INFERIOR) | p.paced | p.preexcited,
    ),
    "LMI": lambda p: (NOBODY, ~p.two(p.m.q > 0.02, LATERAL)),
    "ASMI": lambda p: (NOBODY, ~p.two((p.m.q > 0.02) | (p.m.r < 0.4), ANTERIOR) & (p.m.r[:, V3] > 0.4)),
    "QWAVE": lambda p: (NOBODY, (p.m.q < 0.05).all(axis=1)),
    "STD_": lambda p: (p.readable & depressed(p, 0.12), p.paced | p.preexcited | ~depressed(p, 0.005)),
    "STE_": lambda p: (NOBODY, (p.m.st < 0.04).all(axis=1)),
    "INVT": lambda p: (
        p.readable & p.two((p.m.t < -0.2) & (p.m.r > 0.1), [ONE, II, AVL, V3, V4, V5, V6]),
        ~p.two(p.m.t < -0.03, [ONE, II, AVL, V3, V4, V5, V6]),
    ),
    "LOWT": lambda p: (
        p.readable & p.two(np.abs(p.m.t) < 0.01, [ONE, II, V4, V5, V6]),
        ~p.two((np.abs(p.m.t) < 0.1) | (np.abs(p.m.t) < 0.16 * p.m.r), [ONE, II, V4, V5, V6]),
    ),
    "NDT": lambda p: (NOBODY, (p.m.t > 0.25)[:, [ONE, II, V4, V5, V6]].all(axis=1) & (p.m.r < 1.2).all(axis=1)),
    "NST_": lambda p: (
        NOBODY,
        (~depressed(p, 0.0) & (p.m.t > 0.25)[:, [ONE, II, V4, V5, V6]].all(axis=1) & (p.m.r < 1.2).all(axis=1))
        | p.paced | p.preexcited,
    ),
    "PMI": lambda p: (NOBODY, ~p.has["posterior_infarction"]),
    "LNGQT": lambda p: (NOBODY, p.truth["qt"] / np.cbrt(np.minimum(60 / p.rate, 1.0)) < 0.36),
    "DIG": lambda p: (NOBODY, ~p.has["digitalis"]),
    "EL": lambda p: (p.has["hyperkalaemia"], ~p.has["hyperkalaemia"] & ~p.has["hypokalaemia"]),
    "RAO/RAE": lambda p: (
        p.sinus & p.has["right_atrial_enlargement"] & (p.m.p[:, II] > 0.31),
        ~p.sinus | (p.m.p[:, II] < 0.19),
    ),
    "LVOLT": lambda p: (NOBODY, p.m.r.max(axis=1) > 1.0),
    "VCLVH": lambda p: (
        NOBODY,
        (p.m.s[:, V1] + np.maximum(p.m.r[:, V5], p.m.r[:, V6]) < 2.6) & (p.m.s[:, V3] + p.m.r[:, AVL] < 1.5),
    ),
    "LVH": lambda p: (
        p.readable & ~p.right & p.has["left_ventricular_hypertrophy"]
        & (p.m.s[:, V1] + np.maximum(p.m.r[:, V5], p.m.r[:, V6]) > 4.6),
        (p.m.s[:, V1] + np.maximum(p.m.r[:, V5], p.m.r[:, V6]) < 2.6) & (p.m.s[:, V3] + p.m.r[:, AVL] < 1.5),
    ),
    "RVH": lambda p: (NOBODY, p.m.r[:, V1] < 0.4),
    "ABQRS": lambda p: (p.has["fragmented_qrs"], ~p.has["fragmented_qrs"]),
}  # fmt: skip


@pytest.mark.parametrize("code", CERTAIN)
def test_a_statement_is_what_its_criterion_says(patients, code):
    has, has_not = CERTAIN[code](patients)
    stated = patients.stated(code)
    assert stated.any()
    assert stated[has].all()
    assert has_not.any()
    assert not stated[has_not].any()


def test_ischaemia_needs_deep_st_depression_or_deep_t_waves(patients):
    p = patients
    stated = np.any([p.stated(code) for code in ("ISC_", "ISCAL", "ISCAS", "ISCIN", "ISCIL")], axis=0)
    flat = ~depressed(p, 0.05) & (p.m.t > -0.1).all(axis=1)
    assert stated.any()
    assert not stated[flat].any()
    assert not (stated & (p.paced | p.preexcited)).any()


def test_normal_is_who_has_no_diagnostic_statement_and_the_rhythm_of_the_sinus_node(patients):
    wrong = [patients.stated(code) for code in statements.MEMBERS["abnormal"] if code in criteria.NAMES]
    np.testing.assert_array_equal(patients.stated("NORM"), ~np.any(wrong, axis=0))
    ill = patients.truth["pathology"].any(axis=1) | ~patients.sinus
    assert patients.stated("NORM")[~ill].mean() > 0.65
    assert patients.stated("NORM")[ill].mean() < 0.3


def test_variants_of_the_normal_are_normal(patients):
    """A slow or a fast sinus rhythm, a few premature beats, high voltage alone, an axis to the left."""
    normal = patients.stated("NORM")
    for code in ("SBRAD", "STACH", "SARRH", "PVC", "PAC", "VCLVH"):
        assert (normal & patients.stated(code)).sum() > 10
    for variant in patients.truth["variants"].T:
        assert normal[variant].mean() > 0.4
    assert (normal & (patients.m.axis < -15)).sum() > 20
    assert (normal & (patients.drawn("incomplete_RBBB"))).sum() > 10


def test_labels_follow_from_statements(patients):
    found = criteria.derive(patients.truth["stated"])
    assert set(found) == set(statements.LABELS) & set(found)
    assert set(statements.SIX) | set(statements.SUPERCLASSES) | {"abnormal"} <= set(found)
    np.testing.assert_array_equal(found["abnormal"], 1 - found["NORM"])
    np.testing.assert_array_equal(found["RBBB"], patients.stated("CRBBB"))
    infarcted = np.any([patients.stated(c) for c in ("ASMI", "AMI", "ALMI", "LMI", "IMI", "ILMI", "INJAS")], axis=0)
    assert (found["MI"] >= infarcted).all()


def test_every_criterion_belongs_to_a_statement():
    assert set(criteria.CRITERIA) <= set(statements.STATEMENTS)
    assert len(LEADS) == 12
