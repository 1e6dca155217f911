"""Opens pages as a reader does: headless Chromium without a network, and a parser of tables."""

import html.parser
import json
import os
import re
import shutil
import subprocess

import pytest


class Tables(html.parser.HTMLParser):
    """Tables by id, as lists of rows of text; the text of the rest; all tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.text, self.tags = {}, "", []
        self._rows, self._cell = None, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attributes)["id"], [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False
        if tag == "table":
            self._rows = None

    def handle_data(self, data):
        if self._cell:
            self._rows[-1][-1] += data
        elif self._rows is None:
            self.text += data


def find_chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium; .ci/run installs it")
    if found is None:
        pytest.skip("no Chromium (apt-get install chromium) to open the page in")
    return found


def browse(page, folder, *flags):
    """Opens a page in headless Chromium with no network; returns what it printed and its console messages."""
    quiet = ["no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"]
    command = [find_chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += [f"--{flag}" for flag in quiet] + ["--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars"]
    done = subprocess.run([*command, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probe(page, folder, script, *flags):
    """Returns what a script's function `probe` returns in a copy of the page, and the console's messages."""
    run = """addEventListener("load", () => {
      const result = document.createElement("pre");
      result.id = "probe"; result.textContent = JSON.stringify(probe()); document.body.append(result); });"""
    copy = folder / "probed.html"
    copy.write_text(page.read_text("utf-8").replace("</body>", f"<script>{script}\n{run}</script></body>"), "utf-8")
    dom, console = browse(copy, folder, *flags, "--virtual-time-budget=3000", "--dump-dom")
    return json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL).group(1))), console
