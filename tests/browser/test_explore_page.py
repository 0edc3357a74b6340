"""The page of ``pyhash explore`` in Chromium, as people use it: by mouse, by keyboard, by its names and roles."""

import base64
import re
import shutil

import pytest

pytest.importorskip("PIL")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which the extra test installs")
from explore_pages import COLOURS, EVALUATION, picture, running, small_retriever  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: run `make browser`, or install it yourself")

expect = sync_api.expect
# What the page waits for is on this machine; a machine that is busy takes longer.
expect.set_options(timeout=15_000)
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with small_retriever() as retriever:
        retriever.save(tmp_path_factory.mktemp("explore") / "shelf")
        retriever.write_evaluation(EVALUATION)
        with running(retriever) as server:
            yield server.url


@pytest.fixture(scope="module")
def browser():
    with (
        sync_api.sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
    ):
        yield browser


@pytest.fixture
def open_page(browser, url):
    """Open the page at an address after "#"; at the end, check that there was no error and no request elsewhere."""
    contexts, faults, expected = [], [], []

    def open_page(address="", *, viewport=WIDE, scheme="light", allowed=None):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if is_own(request.url) else faults.append(request.url))
        if allowed:
            expected.append(allowed)
        page.goto(url + address)
        return page

    def is_own(address):
        return address.startswith((url, f"blob:{url}"))

    yield open_page
    for context in contexts:
        context.close()
    assert [fault for fault in faults if not any(re.search(allowed, fault) for allowed in expected)] == []


def answers(page):
    return page.get_by_role("article")


def drop(page, data, target):
    """Drop a file on an element."""
    page.evaluate(
        """([data, selector]) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
            const element = document.querySelector(selector);
            for (const kind of ["dragover", "drop"]) {
                element.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }
        }""",
        [base64.b64encode(data).decode(), target],
    )


def test_words_find_items_of_every_modality_and_show_how_they_differ(open_page):
    page = open_page()
    expect(page.get_by_role("status")).to_have_text("12 items to start from, of 56.")
    page.get_by_role("searchbox", name="Words").fill("a red thing")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("28 answers by weighted distance")
    expect(page.get_by_role("heading", name="Nearest to “a red thing”")).to_be_visible()
    for what, n in (("text and image", 12), ("text", 8), ("image", 8)):
        expect(page.get_by_role("heading", name=f"Items with {what} ({n})", exact=True)).to_be_visible()
    first = answers(page).first
    expect(first).to_contain_text("a red thing")
    expect(first).to_contain_text("✂\ufe0f")
    expect(first.get_by_role("img", name="image of a red thing")).to_be_visible()
    assert first.locator("img").evaluate("each => each.complete && each.naturalWidth") == 12
    # An item of another colour differs: the chart says in how many bits, and the table gives their shares.
    other = answers(page).filter(has=page.locator("details")).filter(has_not_text="colourred").last
    label = other.locator("svg.bits").get_attribute("aria-label")
    n_differing = int(re.match(r"(\d+) of 32 bits differ; the largest shares of the distance: bit \d+", label)[1])
    other.get_by_text("in numbers").click()
    rows = other.get_by_role("row")
    expect(rows).to_have_count(n_differing + 1)
    shares = [float(row.locator("td").last.inner_text().rstrip(" %")) for row in rows.all()[1:]]
    assert sum(shares) == pytest.approx(100, abs=0.1 * n_differing)
    # The query is in the address: a copy of it shows the same.
    again = open_page("#" + page.url.partition("#")[2])
    expect(again.get_by_role("status")).to_contain_text("28 answers")
    other.get_by_text("in numbers").click()
    assert answers(again).all_inner_texts() == answers(page).all_inner_texts()


def test_a_dropped_picture_a_hit_a_filter_and_the_way_back(open_page):
    page = open_page()
    expect(answers(page)).to_have_count(12)
    drop(page, picture(COLOURS["blue"]), ".picture")
    expect(page.get_by_role("heading", name="Nearest to a picture")).to_be_visible()
    expect(page.get_by_role("img", name="Picture of the query")).to_be_visible()
    expect(answers(page).first).to_contain_text("🫐")
    page.get_by_label("Words").fill("a green thing")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Nearest to “a green thing” and a picture")).to_be_visible()
    page.get_by_role("button", name="Remove the picture").click()
    expect(page.get_by_role("heading", name="Nearest to “a green thing”", exact=True)).to_be_visible()
    answers(page).first.get_by_role("link", name="More like this").click()
    expect(page.get_by_role("heading", name=re.compile(r"^Nearest to item \d+$"))).to_be_focused()
    expect(page).to_have_title(re.compile(r"^Nearest to item \d+ - shelf - pyhash explore$"))
    expect(page.get_by_label("Words")).to_have_value("")
    expect(page.get_by_role("status")).to_contain_text("by plain distance")  # codes have no weights
    page.get_by_label("colour").select_option("yellow")
    expect(page.get_by_role("heading", name=re.compile(r"^Nearest to item \d+, with colour yellow$"))).to_be_visible()
    expect(answers(page)).to_have_count(14)
    assert all("🍋" in text for text in answers(page).all_inner_texts())
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="Nearest to “a green thing”", exact=True)).to_be_visible()
    expect(page.get_by_label("Words")).to_have_value("a green thing")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("heading", name="Items of the folder")).to_be_visible()


def test_weighted_and_plain_distance(open_page):
    page = open_page("#words.text=a+red+thing")
    expect(page.get_by_role("status")).to_contain_text("by weighted distance")
    weighted = answers(page).first.inner_text()
    page.get_by_role("radio", name="Plain").check()
    expect(page.get_by_role("status")).to_contain_text("by plain distance")
    assert re.search(r"distance (\d+), \1 of 32 bits", answers(page).last.inner_text())
    page.get_by_role("radio", name="Side by side").check()
    expect(page.get_by_role("status")).to_contain_text("by weighted distance and by plain distance")
    for name in ("Weighted distance", "Plain distance"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(answers(page)).to_have_count(56)
    assert answers(page).first.inner_text() == weighted


def test_errors_are_told(open_page):
    page = open_page(allowed="422")
    page.get_by_label("Words").fill("zebra")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("no word of 'zebra' is among those that the model knows")
    expect(answers(page)).to_have_count(0)
    drop(page, b"no picture", ".picture")
    expect(page.get_by_role("alert")).to_contain_text("must be a PNG, JPEG, GIF or WebP file")
    page.get_by_label("Words").fill("red")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(answers(page).first).to_contain_text("✂\ufe0f")


def test_the_map_leads_to_the_items_of_a_class_by_keyboard(open_page):
    page = open_page("#view=map&column=colour")
    expect(page.get_by_role("group", name="Map of 4 classes by colour")).to_be_visible()
    first = page.get_by_role("link", name="blue, 14 items")
    first.focus()
    for key, name in (("ArrowRight", "green"), ("End", "yellow"), ("ArrowRight", "blue"), ("ArrowLeft", "yellow")):
        page.keyboard.press(key)
        expect(page.get_by_role("link", name=f"{name}, 14 items")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Items of the folder, with colour yellow")).to_be_focused()
    assert all("🍋" in text for text in answers(page).all_inner_texts())
    page.get_by_role("link", name="Map of classes").click()
    page.get_by_label("Classes by", exact=True).select_option("tags")
    expect(page.get_by_role("group", name="Map of 3 classes by tags")).to_be_visible()


def test_the_quality_of_the_model(open_page):
    page = open_page("#view=quality")
    table = page.get_by_role("table", name="Scores by modality of the query and by distance")
    assert [each.split("\t") for each in table.inner_text().splitlines()[1:]] == [
        ["query by", "distance", "mAP", "precision at 10"],
        ["text", "plain", "0.750", "0.500"],
        ["text", "weighted", "0.875", "–"],
        ["image", "plain", "0.625", "–"],
    ]
    for name in (
        "Precision and recall along the ranking: precision by recall",
        "mAP while the model learns: mAP by rows learned",
    ):
        chart = page.get_by_role("img", name=name)
        expect(chart).to_be_visible()
        assert chart.bounding_box()["width"] > 400


def test_controls_of_a_row_stand_on_one_line(open_page):
    page = open_page()
    bottoms = []
    for name in ("colour", "Answers"):
        box = page.get_by_role("combobox", name=name).bounding_box()
        bottoms.append(round(box["y"] + box["height"]))
    assert bottoms[0] == bottoms[1]


def test_the_keyboard_alone(open_page):
    """From the top of the page to more like the first answer, and the picture field, without a mouse."""
    page = open_page()
    expect(answers(page)).to_have_count(12)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the answers")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Items of the folder")).to_be_focused()
    page.reload()
    expect(answers(page)).to_have_count(12)
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(_FOCUSED))
        assert page.evaluate(_HAS_FOCUS_RING), seen[-1]
        if seen[-1] == "words-text":
            break
    assert seen == ["skip", "Search", "Map of classes", "Quality", "words-text"]
    page.keyboard.type("a yellow thing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nearest to “a yellow thing”")).to_be_visible()
    expect(page.get_by_label("Words")).to_be_focused()
    order = ["picture-image", "Search", "Clear", "where-colour", "where-emoji", "where-shelf", "where-tags"]
    order += ["distance-weighted", "count"]
    for name in order:
        page.keyboard.press("Tab")
        assert page.evaluate(_FOCUSED) == name
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "More like this":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("^Nearest to item"))).to_be_focused()


_FOCUSED = "document.activeElement.id || document.activeElement.textContent"

_HAS_FOCUS_RING = """() => {
    const element = document.activeElement;
    const style = getComputedStyle(element.classList.contains("unseen") ? element.nextElementSibling : element);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""

# The contrast of every text with what is behind it, by the formula of WCAG 2; colours are opaque.
_LOW_CONTRAST = """() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = channels(color).map((c) => linear(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const color = getComputedStyle(each).backgroundColor;
            if (channels(color)[3] !== 0) return color;
        }
        return "rgb(255, 255, 255)";
    };
    const low = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
        const style = getComputedStyle(element);
        const color = element instanceof SVGElement ? style.fill : style.color;
        const [high, least] = [luminance(color), luminance(behind(element))].sort((a, b) => b - a);
        const ratio = (high + 0.05) / (least + 0.05);
        if (ratio < 4.5) low.push(`${element.tagName} ${texts.currentNode.data.trim()} ${ratio.toFixed(2)}`);
    }
    return low;
}"""

# What a screen reader cannot name, and what the page holds twice.
_UNNAMED = """() => {
    const faults = [];
    for (const field of document.querySelectorAll("input, select")) {
        if (field.labels.length !== 1) faults.push(`${field.id} has ${field.labels.length} labels`);
    }
    for (const image of document.querySelectorAll("img")) if (!image.alt) faults.push(`${image.src} has no text`);
    for (const chart of document.querySelectorAll("svg[role=img], svg[role=group]")) {
        if (!chart.getAttribute("aria-label")) faults.push("a chart has no name");
    }
    for (const each of document.querySelectorAll("button, a")) {
        if (!each.textContent.trim() && !each.getAttribute("aria-label")) faults.push("a button or link has no name");
    }
    const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
    faults.push(...ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => `${id} is there twice`));
    const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter((each) => each.checkVisibility());
    const levels = headings.map((each) => Number(each.tagName[1]));
    levels.forEach((level, i) => {
        if (level > (levels[i - 1] ?? 0) + 1) faults.push(`a heading of level ${level} skips one`);
    });
    return faults;
}"""

_VIEWS = ["#words.text=a+red+thing&distance=both", "#view=map&column=colour", "#view=quality", ""]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_roles_contrast_and_width(open_page, scheme):
    grounds = set()
    page = open_page(viewport=NARROW, scheme=scheme)
    for address in _VIEWS:
        page.goto(page.url.partition("#")[0] + (address or "#view=search"))
        expect(page.get_by_role("heading", level=2)).to_have_count(1)
        ready = {"#view=map&column=colour": "svg.chart a", "#view=quality": "table"}.get(address, "article")
        expect(page.locator(ready).first).to_be_visible()
        for role, count in (("banner", 1), ("main", 1), ("navigation", 1), ("heading", None)):
            found = page.get_by_role(role, **({"level": 1} if count is None else {}))
            expect(found).to_have_count(1)
        assert page.locator("nav a[aria-current=page]").count() == 1
        assert page.evaluate(_UNNAMED) == []
        assert page.evaluate(_LOW_CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]  # nothing to scroll sideways
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    expect(page.get_by_role("search", name="Query")).to_be_visible()
    assert page.get_by_role("status").get_attribute("aria-live") == "polite"
    assert page.locator("html").get_attribute("lang") == "en"
    assert grounds == ({"rgb(255, 255, 255)"} if scheme == "light" else {"rgb(15, 19, 24)"})
