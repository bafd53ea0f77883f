"""What the page may load and run, who may show it in a frame, and a card alone in another page's frame."""

from __future__ import annotations

import http.server
import re
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from tests.browser.conftest import Visitor
from tests.fixtures.shelf import NEURONS, SAE

WATCH = """window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => {
  window.violations.push(`${e.violatedDirective}: ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
});"""
CARD = f"/?tab=feature&dictionary={SAE}&unit=5"


def headers_of(address: str, **asked: str) -> dict[str, str]:
    with urllib.request.urlopen(urllib.request.Request(address, headers=asked)) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}


@pytest.fixture
def watched(visitor: Visitor) -> Visitor:
    visitor.page.add_init_script(WATCH)
    return visitor


@pytest.mark.parametrize(
    "path",
    ["/", CARD, f"/?tab=compare&dictionary={SAE}&unit=3&other={NEURONS}&other_unit=5", f"/?tab=compare&dictionary={SAE}", f"/?tab=health&dictionary={SAE}",
     f"/?tab=audio&dictionary={SAE}", "/?tab=text", "/?tab=lab", "/?tab=about", "/?tab=find&q=money", f"/f/{SAE}/5"],
)  # fmt: skip
def test_no_tab_breaks_the_pages_policy(watched: Visitor, path: str) -> None:
    page = watched.page
    page.goto(watched.base + path)
    page.wait_for_function("window.earmark && window.earmark.views > 0")
    if "tab=compare" in path or "tab=about" in path:
        page.wait_for_selector(".js-plotly-plot svg.main-svg")
    if page.locator(".em-play:visible").count():
        page.locator(".em-play:visible").first.click()
        page.wait_for_function("[...document.querySelectorAll('audio')].some((a) => !a.paused && a.readyState > 2)")
    page.wait_for_timeout(300)
    assert page.evaluate("window.violations") == []


def test_a_card_alone_keeps_its_narrower_policy(watched: Visitor) -> None:
    watched.page.goto(f"{watched.base}{CARD}&embed=true")
    watched.page.locator(".em-play:visible").first.click()
    watched.page.wait_for_selector(".em-ex.playing")
    watched.page.locator("[data-more]").click()
    assert watched.page.evaluate("window.violations") == []


def test_what_the_policy_stops_is_seen(watched: Visitor) -> None:
    """Markup with a handler, and a script without the nonce, run nothing; and such a thing would be noticed by the test above."""
    page = watched.open(CARD)
    page.evaluate("""() => {
      document.querySelector("#em-notice").insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.hacked = 1'>");
      const script = document.createElement("script");
      script.textContent = "window.hacked = 2";
      document.body.append(script);
    }""")
    page.wait_for_function("window.violations.length === 2")
    assert page.evaluate("window.hacked") is None
    assert all(text.startswith(("script-src-attr: inline", "script-src-elem: inline")) for text in page.evaluate("window.violations"))
    assert len(watched.problems) == 2
    watched.problems.clear()


@pytest.mark.parametrize("path", ["/", CARD, "/api/dictionaries", f"/f/{SAE}/5", f"/api/unit/{SAE}/5", "/theme.css"])
def test_every_answer_has_its_headers(base: str, path: str) -> None:
    headers = headers_of(base + path)
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in headers["content-security-policy"]
    assert "x-frame-options" not in headers


def test_every_page_has_a_nonce_of_its_own(base: str) -> None:
    nonces = [re.search(r"'nonce-([\w-]{20,})'", headers_of(base + "/")["content-security-policy"])[1] for _ in range(3)]  # type: ignore[index]
    assert len(set(nonces)) == 3


def test_who_may_read_answers(base: str) -> None:
    """As README says: on this machine its own pages alone, on a public host every page."""
    stranger, neighbour = "https://a-blog.example", "http://localhost:1234"
    port = base.rsplit(":", 1)[1]
    assert "access-control-allow-origin" not in headers_of(base + "/api/dictionaries", Origin=stranger)
    assert headers_of(base + "/api/dictionaries", Origin=neighbour)["access-control-allow-origin"] == neighbour
    assert headers_of(base + "/api/dictionaries", Origin=stranger, Host=f"earmark.example:{port}")["access-control-allow-origin"] == stranger


# -- frames ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blog() -> Iterator[str]:
    """A page of another origin with nothing in it."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A blog</title><link rel=icon href='data:,'>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def framed(visitor: Visitor, blog: str, html: str):
    visitor.page.goto(blog)
    visitor.problems.clear()  # the blog is another host
    visitor.page.evaluate("html => { document.body.innerHTML = html }", html)
    return visitor.page.frame_locator("iframe")


def test_the_code_on_a_card_shows_it_alone_on_another_page(visitor: Visitor, blog: str) -> None:
    page = visitor.open(CARD + "&min=0.5")
    page.locator(".em-embedding summary").click()
    page.wait_for_function("document.querySelector('#em-embed-code').value")
    code = page.locator("#em-embed-code").input_value()
    assert code.startswith(f'<iframe src="{visitor.base}/?tab=feature&amp;dictionary={SAE}&amp;unit=5&amp;min=0.5')
    assert "embed=true" in code
    card = framed(visitor, blog, code)
    assert card.locator("h1").inner_text() == "Feature 5"
    assert card.locator("[data-group=hits] .em-ex").count() > 0
    assert card.locator("gradio-app, #em-header, nav.em-turn:visible, form:visible, .em-tools:visible").count() == 0
    assert card.locator(".em-credit").is_visible(), "a clip is never shown without its credit"
    card.locator(".em-play").first.click()
    card.locator(".em-ex.playing").wait_for()
    with visitor.page.context.expect_page() as opened:
        card.get_by_role("link", name="Open it in Earmark").click()
    assert "embed" not in opened.value.url
    assert "unit=5" in opened.value.url


def test_the_page_itself_is_shown_by_no_stranger(visitor: Visitor, blog: str) -> None:
    frame = framed(visitor, blog, f'<iframe src="{visitor.base}{CARD}" width=900 height=600></iframe>')
    visitor.page.wait_for_timeout(1500)
    assert frame.locator("h1", has_text="Feature 5").count() == 0
    assert any("frame-ancestors" in p or "frame" in p for p in visitor.problems), visitor.problems
    visitor.problems.clear()


def test_only_a_card_stands_alone(base: str) -> None:
    assert "frame-ancestors 'self'" in headers_of(f"{base}/?tab=browse&embed=true")["content-security-policy"]
    assert "frame-ancestors 'self'" in headers_of(f"{base}{CARD}&embed=false")["content-security-policy"]
    policy = headers_of(f"{base}{CARD}&embed=true")["content-security-policy"]
    assert policy.endswith("frame-ancestors *")
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 360, "height": 640}, "color_scheme": "dark"}], indirect=True)
def test_a_card_alone_on_a_phone_in_the_dark(visitor: Visitor) -> None:
    visitor.page.goto(f"{visitor.base}{CARD}&embed=true")
    visitor.page.wait_for_function("window.earmark.views > 0")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visitor.page.evaluate("document.body.matches('.dark')")
    assert visitor.query()["embed"] == "true"
