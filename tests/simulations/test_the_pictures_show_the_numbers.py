"""The pictures of a page are read back: what they show is what its data say, and the page is small."""

from __future__ import annotations

import base64
import math
import re
import struct
import xml.etree.ElementTree as tree
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deploy.local.nodes.pools import uniform
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.loads.formats import load
from simulations.nodes import pooled
from simulations.report.charts import Chart, charts
from simulations.report.page import page
from simulations.report.svg import HEIGHT, picture, ticks
from simulations.summary import summarise
from simulations.workload import Job
from tests.simulations.drawn import jobs, policies
from tests.simulations.test_a_report_holds_the_numbers_of_the_run import run

BYTES_MAX = 2_000_000
#: Half of the last digit of what is written of a place, in the picture's units.
ROUNDED = 0.05
STEP = re.compile(r"(?:M[-0-9.]+ |V)([-0-9.]+)")


def drawn(chart: Chart) -> tree.Element:
    return tree.fromstring(str(picture(chart)))


def pixels(uri: str) -> NDArray[np.uint8]:
    """uint8[rows, columns, 4] of a PNG without filters, as its specification says."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    width, height = struct.unpack(">II", data[16:24])
    size = struct.unpack(">I", data[33:37])[0]
    lines = np.frombuffer(zlib.decompress(data[41 : 41 + size]), dtype=np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 4)


@settings(max_examples=8, deadline=None)
@given(found=jobs(), policy=policies)
def test_lines_go_through_their_values_and_pixels_are_as_dark_as_they_say(
    found: list[Job], policy: Policy
) -> None:
    by_id = {chart.id: chart for chart in charts(run(found, policy))}
    chart = by_id["allocation"]
    svg = drawn(chart)
    shown = {line[0].text: line.attrib["d"] for line in svg.iter("path") if len(line)}
    highest = max(float(np.array(trace["y"]).max()) for trace in chart.data)
    for trace in chart.data:
        ups = np.array([float(up) for up in STEP.findall(shown[str(trace["name"])])])
        values = np.array(trace["y"])
        # 28 at the top and 44 at the bottom are left to words.
        assert ups == pytest.approx(HEIGHT - 44 - (HEIGHT - 72) * values / highest, abs=ROUNDED + 1e-9)
    chart = by_id["devices"]
    image = next(drawn(chart).iter("image"))
    held = np.array(chart.data[0]["z"])
    opaque = pixels(image.attrib["href"])[..., 3]
    assert opaque == pytest.approx(255 * (0.06 + 0.94 * np.clip(held, 0, 1)), abs=0.5 + 1e-9)


@given(low=st.floats(-1e6, 1e6), length=st.floats(1e-3, 1e7))
def test_ticks_are_few_round_and_inside(low: float, length: float) -> None:
    found = ticks(low, low + length)
    assert 2 <= len(found) <= 14
    slack = 1e-6 * length
    assert all(low - slack <= tick <= low + length + slack for tick in found)
    step = found[1] - found[0]
    digits = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    assert round(digits, 3) in (1.0, 2.0, 5.0)


def test_the_page_of_a_large_cluster_stays_small() -> None:
    nodes = pooled(uniform(400))
    outcome = Engine(load("poisson:jobs=3000,load=0.9,teams=12", nodes), nodes, Setting()).run()
    text = page(outcome, summarise(outcome))
    assert len(text.encode()) < BYTES_MAX
    assert "<svg" in text
