"""The site: `sphinx-build -W docs build/site`. Its references are written from the code first (`generated.py`)."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # tutorials call ecg-jax
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("ECG_JAX_SHARED", str(HERE.parents[1] / "shared"))  # real recordings, as in tests/conftest.py

import generated  # noqa: E402 - lies beside this file
from nbclient import NotebookClient  # noqa: E402

NotebookClient.coalesce_streams = True  # the output of a command arrives in pieces of 100 bytes

generated.write_all(HERE / "generated")

project = "ecg_jax"
author = "ecg_jax developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "ecg_jax"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False
html_copy_source = False
highlight_language = "text"  # of blocks that name none
smartquotes = False  # two hyphens begin a flag
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

default_role = "literal"  # docstrings write names as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
python_maximum_signature_line_length = 100

nb_execution_mode = "cache"  # a tutorial is run again when it has changed
nb_execution_cache_path = str(HERE.parent / "build" / "tutorials")
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
suppress_warnings = ["myst-nb.lexer"]  # of tutorials, where nb_execution_mode=off leaves them without output


def setup(app: object) -> None:
    """Has links between pages of the repository lead to pages of the site."""
    app.connect("source-read", generated.mend_links)
