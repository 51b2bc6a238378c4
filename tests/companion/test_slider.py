"""A slider over a table: what it shows at first, and what it leads to."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from companion.slider import slider
from lib.core import InputError

TABLE = pd.DataFrame(
    [
        {"what": what, "k": k, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        for k, what, mean in (
            (5, "text", 0.1), (5, "<b> seed", np.nan), (10, "text", 0.3), (10, "<b> seed", -0.1),
        )
    ]
)  # fmt: skip
NAMED = {"title": "T", "label": "K", "unit": "recall"}


def test_a_slider_shows_its_first_step_and_holds_all() -> None:
    shown = slider(TABLE, "k", start=10, **NAMED).data
    data = json.loads(re.search(r'json">(.*)</script>', shown)[1])
    # the axis goes from the lowest to the highest end of an interval: -0.2 to 0.4
    assert data == {
        "steps": [5, 10],
        "values": [
            [[50.0, 33.33, 33.33, "0.100 [0.000, 0.200]"], None],
            [[83.33, 66.67, 33.33, "0.300 [0.200, 0.400]"],
             [16.67, 0.0, 33.33, "−0.100 [−0.200, 0.000]"]],
        ],
    }  # fmt: skip
    assert "left:83.33%" in shown and "0.300 [0.200, 0.400]</td>" in shown
    assert "&lt;b&gt;" in shown and "<b>" not in shown.replace("&lt;b&gt;", "")
    assert shown.count('<tr class="null"><th scope="row">&lt;b&gt; seed') == 1
    assert shown.count("<tr>") == 2  # the head, and the row that is no null
    assert shown.count('class="zero" style="left:33.33%"') == 2
    assert "–</td>" in slider(TABLE, "k", start=5, **NAMED).data  # what has no value


def test_a_step_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="start = 7 was given; k has 5, 10"):
        slider(TABLE, "k", start=7, **NAMED)
