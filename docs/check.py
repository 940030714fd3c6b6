# SPDX-License-Identifier: MIT
"""Looks at the built site in a browser: `python docs/check.py [FOLDER]`; see build.py.

On every page, at the width of a phone and of a desk, on light and dark: nothing scrolls sideways,
every picture has a text, every text stands out from its ground (a contrast of at least 4.5, WCAG
2.1), every link leads somewhere, nothing is fetched from elsewhere. It needs playwright and a
Chromium (CHROMIUM names it). Prints what is wrong, and ends with status 1 if anything is.
"""

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

WIDTHS = {"phone": 360, "desk": 1280}

LOOK = """
() => {
  const found = {wide: [], unnamed: [], faint: [], links: [], ids: []};
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    for (const e of document.querySelectorAll("article *, header *")) {
      const box = e.getBoundingClientRect();
      if (box.right > page.clientWidth + 1 && !inScroller(e)) found.wide.push(describe(e));
    }
    if (!found.wide.length) found.wide.push("the page");
  }
  for (const e of document.images)
    if (!(e.alt || "").trim() || /\\.(png|svg|jpe?g)$/.test(e.alt)) found.unnamed.push(e.src);
  for (const e of document.querySelectorAll("a[href]")) found.links.push(e.href);
  for (const e of document.querySelectorAll("[id]")) found.ids.push(e.id);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(e) || !visible(e)) continue;
    seen.add(e);
    const ratio = contrast(over(colour(getComputedStyle(e).color), ground(e)), ground(e));
    if (ratio < 4.5) found.faint.push(ratio.toFixed(2) + " " + describe(e));
  }
  return found;

  function describe(e) {
    return e.tagName.toLowerCase() + (e.className ? "." + e.className : "") + " "
      + JSON.stringify((e.textContent || "").trim().slice(0, 40));
  }
  function inScroller(e) {
    for (let up = e.parentElement; up; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible" && up !== document.body) return true;
    return false;
  }
  function visible(e) {
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (["SCRIPT", "STYLE", "TITLE", "NOSCRIPT", "TEMPLATE"].includes(e.tagName)) return false;
    if (style.visibility === "hidden" || !box.width || !box.height) return false;
    if (e.closest("svg, .visually-hidden, .sr-only, math, mjx-container")) return false;
    for (let up = e; up; up = up.parentElement)
      if (getComputedStyle(up).opacity === "0") return false;
    return true;
  }
  function colour(text) {
    const m = text.match(/[\\d.]+/g).map(Number);
    if (text.startsWith("color(")) return [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1];
    return [m[0], m[1], m[2], m[3] ?? 1];
  }
  function over(top, below) {
    return [0, 1, 2].map(k => top[k] * top[3] + below[k] * (1 - top[3])).concat(1);
  }
  function ground(e) {
    const layers = [];
    for (let up = e; up; up = up.parentElement) {
      const c = colour(getComputedStyle(up).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    let below = [255, 255, 255, 1];
    for (const layer of layers.reverse()) below = over(layer, below);
    return below;
  }
  function light(c) {
    const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function contrast(a, b) {
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  }
}
"""


def pages_of(folder):
    """Those that people read."""
    hidden = {"genindex", "search", "py-modindex"}
    return sorted(page for page in folder.rglob("*.html") if page.stem not in hidden)


def look(folder):
    """What is wrong, as lines."""
    faults, anchors, links = [], {}, []
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for scheme in ("light", "dark"):
            for name, width in WIDTHS.items():
                context = browser.new_context(
                    viewport={"width": width, "height": 800}, color_scheme=scheme
                )
                tab = context.new_page()
                foreign = []
                tab.on("request", lambda request, to=foreign: to.append(request.url))
                for page in pages_of(folder):
                    where = f"{page.relative_to(folder)}, {name}, {scheme}"
                    tab.goto(page.as_uri())
                    found = tab.evaluate(LOOK)
                    faults += [f"{where}: scrolls sideways: {what}" for what in found["wide"][:3]]
                    faults += [f"{where}: no text for {what}" for what in found["unnamed"]]
                    faults += [f"{where}: faint: {what}" for what in found["faint"][:5]]
                    faults += [
                        f"{where}: fetches {url}"
                        for url in foreign
                        if not url.startswith(("file:", "data:", "blob:"))
                    ]
                    foreign.clear()
                    anchors[page] = set(found["ids"])
                    links += [(page, link) for link in found["links"]]
                context.close()
        browser.close()
    return faults + list(broken(folder, anchors, links))


def broken(folder, anchors, links):
    """Links within the site that lead nowhere."""
    for page, link in sorted(set(links)):
        parts = urlsplit(link)
        if parts.scheme != "file":
            continue
        target = Path(unquote(parts.path))
        if not target.is_file():
            yield f"{page.relative_to(folder)}: a link to nowhere: {link}"
        elif (
            parts.fragment and target in anchors and unquote(parts.fragment) not in anchors[target]
        ):
            yield f"{page.relative_to(folder)}: no such place: {link}"


if __name__ == "__main__":
    site = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "_build" / "html")
    wrong = look(site.resolve())
    print("\n".join(wrong) or "nothing is wrong")
    raise SystemExit(bool(wrong))
