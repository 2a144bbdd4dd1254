"""Both pages in a real browser: nothing on the console, nothing sticks out at a phone's width, every figure shows."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fedrouter_sim.report.comparison_report import write_comparison_report
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Claim, Comparison

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 360
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --enable-logging=stderr --v=0 --hide-scrollbars"
    " --allow-file-access-from-files"
).split()
MEASURE = """
<!DOCTYPE html><html><body>%s<pre id="found"></pre><script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    page.querySelectorAll("details").forEach(one => one.open = true);
    const boxes = [...page.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect());
    return {
      overflow: root.scrollWidth - root.clientWidth, clientWidth: root.clientWidth, figures: boxes.length,
      narrow: boxes.filter(box => box.width < 280 || box.height < 80 || box.right > root.clientWidth).length,
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script></body></html>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here to look at the pages with")
def test_both_pages_in_a_browser(full_run: Path, comparison: Comparison, tmp_path: Path) -> None:
    claims = [comparison.judge(Claim("Ours is better than another", "fedrouter", "fedavg", "dual", "own"))]
    pages = [
        write_run_report(Run(full_run)),
        write_comparison_report(tmp_path / "comparison.html", "Methods side by side", comparison, claims),
    ]
    frames = "".join(
        f'<iframe src="{page.as_uri()}" style="width:{PHONE}px;height:700px;border:0"></iframe>' for page in pages
    )
    measuring = tmp_path / "measuring.html"
    measuring.write_text(MEASURE % frames, encoding="utf-8")
    done = subprocess.run(
        [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", measuring.as_uri()],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    [found] = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout)
    nothing_wrong = {"overflow": 0, "clientWidth": PHONE, "narrow": 0}
    assert json.loads(html.unescape(found)) == [nothing_wrong | {"figures": 5}, nothing_wrong | {"figures": 4}]
