"""CODE-15% as a TFDS data set."""

import tensorflow_datasets as tfds

from ecg_jax.data.datasets.builders.base import EcgBuilder
from ecg_jax.labels import ABNORMAL, SIX


class Code15(EcgBuilder):
    """See `ecg_jax.data.datasets.code15`."""

    name = "code15"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS asks for a dict
    LABELS = (*SIX, ABNORMAL)
    DESCRIPTION = """
    345,779 12-lead ECGs of 7 to 10 s at 400 Hz from 233,770 patients of the Telehealth Network of Minas Gerais,
    a sample of CODE. Amplitudes are half of the numbers in the original files, which are about 2 per millivolt.
    The split is drawn by patient, 80, 10 and 10 %, with seed 0.
    """
    HOMEPAGE = "https://doi.org/10.5281/zenodo.4916206"
    LICENSE = "CC BY 4.0"
    CITATION = """
    @misc{code15,
      author = {Ribeiro, Antonio H. and Paixao, Gabriela M. M. and Lima, Emilly M. and Horta Ribeiro, Manoel and
                Pinto Filho, Marcelo M. and Gomes, Paulo R. and Oliveira, Derick M. and Meira Jr, Wagner and
                Sch{\\"o}n, Thomas B. and Ribeiro, Antonio Luiz P.},
      title = {{CODE-15\\%}: a large scale annotated dataset of 12-lead {ECGs}},
      year = {2021},
      publisher = {Zenodo},
      doi = {10.5281/zenodo.4916206}
    }
    """
    MANUAL_DOWNLOAD_INSTRUCTIONS = "exams.csv and exams_part*.hdf5, all or some, unpacked, from Zenodo (4916206)."
