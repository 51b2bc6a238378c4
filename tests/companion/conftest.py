"""A real browser for tests of pages: Chromium on the path or by CHROMIUM, else they are skipped."""

import pytest

from companion.pdf import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: no browser test ran")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()
