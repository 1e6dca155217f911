"""PTB-XL as a TFDS data set."""

import tensorflow_datasets as tfds

from ecg_jax.data.datasets.builders.base import EcgBuilder, EcgConfig
from ecg_jax.data.datasets.ptbxl import SUPERCLASSES
from ecg_jax.labels import ABNORMAL, SIX

# fmt: off
STATEMENTS = (
    "NDT", "NST_", "DIG", "LNGQT", "NORM", "IMI", "ASMI", "LVH", "LAFB", "ISC_", "IRBBB", "1AVB", "IVCD", "ISCAL",
    "CRBBB", "CLBBB", "ILMI", "LAO/LAE", "AMI", "ALMI", "ISCIN", "INJAS", "LMI", "ISCIL", "LPFB", "ISCAS", "INJAL",
    "ISCLA", "RVH", "ANEUR", "RAO/RAE", "EL", "WPW", "ILBBB", "IPLMI", "ISCAN", "IPMI", "SEHYP", "INJIN", "INJLA",
    "PMI", "3AVB", "INJIL", "2AVB", "ABQRS", "PVC", "STD_", "VCLVH", "QWAVE", "LOWT", "NT_", "PAC", "LPR", "INVT",
    "LVOLT", "HVOLT", "TAB_", "STE_", "PRC(S)", "SR", "AFIB", "STACH", "SARRH", "SBRAD", "PACE", "SVARR", "BIGU",
    "AFLT", "SVTAC", "PSVT", "TRIGU",
)
# fmt: on


class Ptbxl(EcgBuilder):
    """See `ecg_jax.data.datasets.ptbxl`."""

    name = "ptbxl"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS asks for a dict
    BUILDER_CONFIGS = [  # noqa: RUF012 - and for a list
        EcgConfig(name="500hz", description="The files at 500 Hz.", options={"sampling_rate": 500}),
        EcgConfig(name="100hz", description="The files at 100 Hz.", options={"sampling_rate": 100}),
    ]
    LABELS = tuple(dict.fromkeys((*SIX, ABNORMAL, *SUPERCLASSES, *STATEMENTS)))  # NORM is both
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
        "ptbxl_database.csv, scp_statements.csv and records500/ (or records100/) from PhysioNet (10.13026/kfzx-aw45)."
    )
