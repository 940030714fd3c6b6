# SPDX-License-Identifier: MIT
"""The Turkish site: the English one's settings, and its own language, search and order of pages."""

import gettext
import runpy
from pathlib import Path

english = runpy.run_path(str(Path(__file__).parent.parent / "conf.py"))
globals().update(english)

language = "tr"
exclude_patterns = ["_build"]
copyright = "micrograd_c geliştiricileri, MIT lisansı"
html_title = "micrograd_c · Türkçe"
html_static_path = ["../_static"]
templates_path = ["../_templates"]
html_context = {"other_language": ("English", "en", "../index.html")}

# The theme's words that Sphinx's own translation lacks.
WORDS = {
    "Next": "Sonraki",
    "Previous": "Önceki",
    "Home": "Ana sayfa",
    "On this page": "Bu sayfada",
    "Back to top": "Başa dön",
    "Skip to content": "İçeriğe geç",
    "Copyright &#169; %(copyright)s": "&#169; %(copyright)s",
}


class ThemesWords(gettext.NullTranslations):
    def gettext(self, message):
        return WORDS.get(message, message)


def setup(app):
    english["setup"](app)
    app.translator.add_fallback(ThemesWords())
