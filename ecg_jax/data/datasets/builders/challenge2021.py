"""The PhysioNet/Computing in Cardiology Challenge 2021 as a TFDS data set."""

import os
from typing import Any

import tensorflow_datasets as tfds

from ecg_jax.data.datasets import snomed
from ecg_jax.data.datasets.builders.base import EcgBuilder
from ecg_jax.statements import ABNORMAL, LABELS, SUPERCLASSES, column_name


class Challenge2021(EcgBuilder):
    """See `ecg_jax.data.datasets.challenge2021`."""

    name = "challenge2021"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS asks for a dict
        "1.0.0": "First version.",
        "2.0.0": "Labels in PTB-XL's statements and superclasses; a general code leaves open what it may mean.",
    }
    LABELS = tuple(
        dict.fromkeys(
            [name for name in LABELS if name in {ABNORMAL, *SUPERCLASSES, *map(column_name, snomed.KNOWN)}]
            + [*snomed.ANNOTATED]
        )
    )
    DESCRIPTION = """
    88,253 public 12-lead ECGs of seven sources in China, Germany, Russia and the United States, 5 s to 30 min at
    257 to 1000 Hz, with diagnoses in SNOMED CT. The split is drawn with seed 0, by patient where patients are known.
    """
    HOMEPAGE = "https://physionet.org/content/challenge-2021/"
    LICENSE = "CC BY 4.0"
    CITATION = """
    @inproceedings{reyna2021challenge,
      author = {Reyna, Matthew A. and Sadr, Nadi and Perez Alday, Erick A. and Gu, Annie and Shah, Amit J. and
                Robichaux, Chad and Rad, Ali Bahrami and Elola, Andoni and Seyedi, Salman and Ansari, Sardar and
                Ghanbari, Hamid and Li, Qiao and Sharma, Ashish and Clifford, Gari D.},
      title = {Will Two Do? Varying Dimensions in Electrocardiography: The {PhysioNet}/Computing in Cardiology
               Challenge 2021},
      booktitle = {2021 Computing in Cardiology},
      year = {2021},
      doi = {10.23919/CinC53138.2021.9662687}
    }
    """
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The folder training/ with its sources, from PhysioNet (10.13026/34va-7q14); beside it, PTB-XL's "
        "ptbxl_database.csv, if its patients are to stay on one side of the split."
    )

    def _find_options(self, source: str) -> dict[str, Any]:
        csv = os.path.join(source, "ptbxl_database.csv")
        return {"ptbxl_csv": csv} if os.path.isfile(csv) else {}
