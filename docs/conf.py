"""Configuration of the documentation site: `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pyhash  # noqa: E402
from tools.site.api import write_pages  # noqa: E402

write_pages(ROOT / "docs" / "api")

project = "pyhash"
copyright = "pyhash contributors"
release = version = pyhash.__version__.partition("+")[0]

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "tools.site.examples",
    "tools.site.links",
    "tools.site.signatures",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["**/.ipynb_checkpoints"]

# Headings down to this level have the anchors that a code host gives them.
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # with tables

autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False

# Names of other packages and parts of types are shown without links.
nitpick_ignore_regex = [("py:.*", r"(?!pyhash\.).*")]
default_role = "literal"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# For LINKS=all. A code host makes anchors by scripts.
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]
linkcheck_timeout = 20

html_theme = "pydata_sphinx_theme"
html_title = "pyhash"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"**": ["sections.html"]}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_center": [],
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
    "icon_links": [
        {"name": "Repository", "url": "https://github.com/pyhash/pyhash", "icon": "fa-brands fa-github"},
    ],
}
