"""PTB-XL as a TFDS data set."""

import tensorflow_datasets as tfds

from ecg_jax.data.datasets.builders.base import EcgBuilder, EcgConfig
from ecg_jax.statements import LABELS


class Ptbxl(EcgBuilder):
    """See `ecg_jax.data.datasets.ptbxl`."""

    name = "ptbxl"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS asks for a dict
        "1.0.0": "First version.",
        "2.0.0": "A stated rhythm may be abnormal, a long PR interval leaves 1dAVb open; each label has one name.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012 - and for a list
        EcgConfig(name="500hz", description="The files at 500 Hz.", options={"sampling_rate": 500}),
        EcgConfig(name="100hz", description="The files at 100 Hz.", options={"sampling_rate": 100}),
    ]
    LABELS = LABELS
    DESCRIPTION = """
    21,799 12-lead ECGs of 10 s from 18,869 patients, with 71 SCP-ECG statements. Folds 1 to 8 train, 9 validates,
    10 tests. Labels are the six diagnoses of Ribeiro et al. 2020, normal against abnormal, the diagnostic
    superclasses and the statements by their codes.
    """
    HOMEPAGE = "https://physionet.org/content/ptb-xl/"
    LICENSE = "CC BY 4.0"
    CITATION = """
    @article{wagner2020ptbxl,
      author = {Wagner, Patrick and Strodthoff, Nils and Bousseljot, Ralf-Dieter and Kreiseler, Dieter and
                Lunze, Fatima I. and Samek, Wojciech and Schaeffter, Tobias},
      title = {{PTB-XL}, a large publicly available electrocardiography dataset},
      journal = {Scientific Data},
      volume = {7},
      number = {154},
      year = {2020},
      doi = {10.1038/s41597-020-0495-6}
    }
    """
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "ptbxl_database.csv and records500/ (or records100/) from PhysioNet (10.13026/kfzx-aw45)."
    )
