# SPDX-License-Identifier: MIT
"""The English site's settings; tr/conf.py has the Turkish one's, build.py builds both."""

import functools
import json
import re
import runpy
from pathlib import Path

import latex2mathml.converter
from docutils import nodes

import micrograd_c

DOCS = Path(__file__).parent

project = "micrograd_c"
author = "The micrograd_c developers"
copyright = "the micrograd_c developers, MIT licence"
release = micrograd_c.__version__
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "tr"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
html_theme = "furo"
html_title = "micrograd_c"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"sidebar_hide_name": False}
html_context = {"other_language": ("Türkçe", "tr", "tr/index.html")}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
templates_path = ["_templates"]
html_copy_source = html_show_sourcelink = False
html_last_updated_fmt = None
autodoc_member_order = "bysource"
autodoc_typehints = "none"
copybutton_selector = "div:not(.output):not(.cell_output) > div.highlight > pre"

# The other language's pages stand in another tree: links between them are links of the web.
OTHER_TREE = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./|tr/)[\w-]+)\.md(#[\w-]+)?\)")
# So do links to notebooks, which stand in the tree of their language.
NOTEBOOK = re.compile(
    r"\[(!\[[^\]]*\]\([^)]*\)|[^\[\]]+)\]\((?:\.\./)+examples/notebooks/(\w+)\.ipynb\)"
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
OUTPUT = re.compile(r"(?<=^```\n\n)```text\n(.*?)^```$", re.M | re.S)  # right behind code
PRINTED = re.compile(r"^(print\(.*\))  # (.*)$", re.M)


def show_what_is_printed(block):
    """The comments behind calls of print become a block of their own, below the code."""
    printed = [output for _, output in PRINTED.findall(block[1])]
    if not printed:
        return block[0]
    code, output = PRINTED.sub(r"\1", block[1]), "\n".join(printed)
    return f"```python\n{code}```\n\n```text\n{output}\n```"


def link_to_page(language, found):
    """To the page that a notebook is."""
    text, name = found.groups()
    tree = language_of(name)
    if tree == language:
        return f"[{text}](gallery/{name}.ipynb)"
    return f'<a href="{"tr" if tree == "tr" else ".."}/gallery/{name}.html">{text}</a>'


def language_of(name):
    """Of an example."""
    return "tr" if name.startswith("tr_") else "en"


def prepare_page(app, docname, source):
    link = functools.partial(link_to_page, app.config.language)
    source[0] = NOTEBOOK.sub(link, source[0])
    source[0] = OTHER_TREE.sub(r'<a href="\2.html\3">\1</a>', source[0])
    source[0] = BLOCK.sub(show_what_is_printed, source[0])
    source[0] = OUTPUT.sub(r"```{code-block} text\n:class: output\n\n\1```", source[0])


def write_formula(writer, node):
    """As MathML, which browsers draw without a script from elsewhere."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    writer.body.append(latex2mathml.converter.convert(node.astext(), display=display))
    raise nodes.SkipNode


def with_texts_of_pictures(notebook):
    """A cell's picture is said in words by the first paragraph of the text before it."""
    document, before = json.loads(notebook), ""
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell["metadata"]["mystnb"] = {"image": {"alt": before}}
        else:
            paragraphs = "".join(cell["source"]).split("\n\n")
            said = [each for each in paragraphs if not each.startswith("#")]
            before = " ".join(said[0].replace("`", "").split()) if said else before
    return json.dumps(document)


def write_notebooks(app):
    """Each example of this language as a notebook; myst-nb runs them, and keeps the outputs."""
    scripts = runpy.run_path(str(DOCS.parent / "examples" / "notebooks.py"))
    gallery = Path(app.srcdir) / "gallery"
    gallery.mkdir(exist_ok=True)
    for script in scripts["scripts"]():
        if language_of(script.stem) != app.config.language:
            continue
        target = gallery / f"{script.stem}.ipynb"
        text = with_texts_of_pictures(scripts["notebook_text"](script))
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("source-read", prepare_page)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("builder-inited", write_notebooks)
