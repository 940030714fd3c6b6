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
    "Made with ": "Yapımında ",
    '<a href="https://www.sphinx-doc.org/">Sphinx</a> and ': (
        '<a href="https://www.sphinx-doc.org/">Sphinx</a> ve '
    ),
    '\n            <a href="https://github.com/pradyunsg/furo">Furo</a>\n            ': (
        '<a href="https://github.com/pradyunsg/furo">Furo</a> kullanıldı.'
    ),
    "Please activate JavaScript to enable the search functionality.": (
        "Aramanın çalışması için JavaScript'i etkinleştirin."
    ),
}

# What the theme and the copy button write without asking for a translation: labels that screen
# readers read aloud, titles of icons, the footer.
LABELS = {
    "Toggle site navigation sidebar": "Sayfa listesini aç ya da kapat",
    "Toggle table of contents sidebar": "Bu sayfanın içindekilerini aç ya da kapat",
    "Toggle Light / Dark / Auto color theme": "Açık, koyu ya da otomatik görünüm",
    "Toggle navigation of ": "Alt sayfaları aç ya da kapat: ",
    "Link to this heading": "Bu başlığa bağlantı",
    "<title>Menu</title>": "<title>Menü</title>",
    "<title>Expand</title>": "<title>Aç</title>",
    "<title>Light mode</title>": "<title>Açık görünüm</title>",
    "<title>Dark mode</title>": "<title>Koyu görünüm</title>",
    "<title>Auto light/dark, in light mode</title>": "<title>Otomatik, şimdi açık</title>",
    "<title>Auto light/dark, in dark mode</title>": "<title>Otomatik, şimdi koyu</title>",
    '<a class="muted-link" href="https://pradyunsg.me">@pradyunsg</a>\'s': "",
    "'copy': 'Copy'": "'copy': 'Kopyala'",
    "'copy_to_clipboard': 'Copy to clipboard'": "'copy_to_clipboard': 'Panoya kopyala'",
    "'copy_success': 'Copied!'": "'copy_success': 'Kopyalandı'",
    "'copy_failure': 'Failed to copy'": "'copy_failure': 'Kopyalanamadı'",
}


class ThemesWords(gettext.NullTranslations):
    def gettext(self, message):
        return WORDS.get(message, message)


def translate_labels(app, error):
    if error is None:
        for path in (*app.outdir.rglob("*.html"), app.outdir / "_static" / "copybutton.js"):
            text = path.read_text(encoding="utf-8")
            for label, turkish in LABELS.items():
                text = text.replace(label, turkish)
            path.write_text(text, encoding="utf-8")


def setup(app):
    english["setup"](app)
    app.connect("build-finished", translate_labels)
    app.translator.add_fallback(ThemesWords())
