"""The page as a person meets it: typed to, clicked, at two widths."""

import shutil

import pytest

pytestmark = pytest.mark.browser

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_visit(browser, server, width, height, scheme, tmp_path):
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(server)
    page.wait_for_selector(".card")
    page.fill("#message textarea", "a warm lamp under 60")
    page.keyboard.press("Enter")
    page.wait_for_selector(".chip")
    last = page.locator(".turn:last-child")
    last.locator(".card button.like").first.click()
    page.wait_for_selector(".turn:last-child .card button.like[aria-pressed=true]")
    last.locator("button[popovertarget]").first.click()
    assert page.locator(".why:popover-open").count() == 1
    page.keyboard.press("Escape")
    for button in page.locator("#dock button:visible").all():
        assert button.bounding_box()["height"] >= 24
    before = page.locator(".chip").count()
    page.locator(".chip button").first.click()
    page.wait_for_function(f"document.querySelectorAll('.chip').length == {before - 1}")
    page.fill("#message textarea", "a lamp under 0.01")
    page.keyboard.press("Enter")
    page.wait_for_selector(".steps button")
    page.screenshot(path=tmp_path / "page.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    assert page.locator("#message textarea").bounding_box()["y"] < height, "the input stays in reach"
    assert not [url for url in asked if not url.startswith((server, "data:", "blob:"))] and not wrong
    page.close()
