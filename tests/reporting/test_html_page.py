"""The report in a browser: sorting, filters, drill-down, escaping, themes, a phone, accessibility, no network."""

import pytest

SCRIPT = "</script><script>window.broken = true</script>"


@pytest.fixture(scope="module")
def page(browser, report_file):
    """The page, opened once; what it asked for, and what it complained of, are kept."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.requests, opened.complaints = [], []
    opened.on("request", lambda request: opened.requests.append(request.url))
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.set_default_timeout(15_000)
    opened.goto(report_file.as_uri())
    opened.wait_for_selector("#forest svg")
    yield opened
    opened.close()


@pytest.fixture
def fresh(page):
    """The page as it opens."""
    page.reload()
    page.wait_for_selector("#forest svg")
    return page


def column(page, title):
    heads = page.locator("#board thead th").all_inner_texts()
    place = next(number for number, head in enumerate(heads, 1) if head.startswith(title))
    cells = page.locator(f"#board tbody tr:not(:has(.reason)) > :nth-child({place})").all_inner_texts()
    return [cell.split("\n")[0].split()[-1] for cell in cells if cell.strip()]


def open_queries(page):
    page.locator("#s-queries").scroll_into_view_if_needed()
    page.wait_for_selector("#query-table tbody tr")


def test_sorting_by_click_and_by_key(fresh):
    heading = fresh.get_by_role("button", name="MRR@3")
    heading.click()
    assert fresh.locator("#board th[aria-sort]").get_attribute("aria-sort") == "descending"
    values = [float(value) for value in column(fresh, "MRR@3") if value[0].isdigit()]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)
    assert values != sorted(values)
    assert fresh.evaluate("document.activeElement.textContent") == "MRR@3", "the heading keeps the focus"
    fresh.keyboard.press("Enter")
    assert fresh.locator("#board th[aria-sort]").get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in column(fresh, "MRR@3") if value[0].isdigit()] == sorted(values)


def test_failed_cells_are_rows_that_say_why(fresh):
    row = fresh.locator("#board tr", has_text="glove:no-such-file.txt").first
    assert "no file 'no-such-file.txt'" in row.inner_text()
    assert fresh.locator("#s-failed").is_visible()


def test_filters(fresh):
    everything = fresh.locator("#board tbody tr").count()
    assert fresh.locator("#board-count").inner_text() == f"{everything} cells"
    fresh.select_option("#filters select[name=reranker]", "bm25")
    assert set(column(fresh, "Reranker")) == {"bm25"}
    fresh.select_option("#filters select[name=reranker]", "")
    fresh.select_option("#filters select[name=family]", "tfidf")
    assert set(column(fresh, "Family")) == {"tfidf"}
    assert fresh.locator("#board tbody tr").count() == 4
    fresh.fill("#filters input[name=text]", "ngrams")
    assert fresh.locator("#board-count").inner_text() == f"2 of {everything} cells"
    fresh.fill("#filters input[name=text]", "")
    fresh.select_option("#filters select[name=family]", "")
    fresh.check("#filters input[name=tied]")
    shown = fresh.locator("#board tbody tr").count()
    assert shown == fresh.locator("#board .mark").count() < everything


def test_the_table_is_what_the_results_say(fresh, hostile_run):
    from evalkit.results import Results
    from evalkit.results.comparisons import against_best

    board = against_best(Results.read(hostile_run), "beasts", "test", "nDCG@3")
    assert column(fresh, "nDCG@3")[: len(board)] == [f"{score:.3f}" for score in board["score"]]
    assert fresh.locator("#board .mark").count() == 1 + int(board["tied"].iloc[1:].sum())
    assert fresh.locator("#heat td.shade").count() == len(board)


def test_charts_are_drawn(fresh):
    assert fresh.locator("#forest svg [aria-roledescription=point]").count() == 6
    assert fresh.locator("#gains svg").is_visible()


def test_drill_down(fresh):
    open_queries(fresh)
    assert fresh.locator("#query-table tbody tr").count() == 12
    fresh.fill("#search", "DOG")
    assert fresh.locator("#query-table tbody tr").count() == 1
    fresh.get_by_role("button", name="where does the dog live").click()
    panel = fresh.locator("#query")
    assert "q-dog" in panel.inner_text()
    assert fresh.evaluate("document.activeElement.id") == "query", "the keyboard follows"
    lists = fresh.locator("#lists .cell-list")
    assert lists.count() == 2
    first = lists.first.locator("ol > li").first
    assert "relevant, grade 1" in first.inner_text()
    assert "d-dog" in first.inner_text()
    moved = [text for text in fresh.locator("#lists li").all_inner_texts() if "as before" in text or " from " in text]
    assert moved, "what the reranker moved is told"
    opener = fresh.locator(".strip button[aria-expanded=false]").first
    opener.press("Enter")
    assert lists.count() == 3


def test_wins_and_losses_are_mirror_images(fresh):
    open_queries(fresh)
    counts = {}
    for order in ("wins", "losses"):
        fresh.select_option("#order", order)
        gaps = fresh.locator("#query-table tbody tr td:last-child").all_inner_texts()
        assert all(gap.startswith("+" if order == "wins" else "−") for gap in gaps)
        counts[order] = len(gaps)
    a, b = fresh.input_value("#cell-a"), fresh.input_value("#cell-b")
    fresh.select_option("#cell-a", b)
    fresh.select_option("#cell-b", a)
    assert fresh.locator("#query-table tbody tr").count() == counts["wins"]


def test_texts_are_shown_and_never_run(fresh):
    open_queries(fresh)
    fresh.select_option("#order", "data")
    fresh.fill("#search", "q-mole")
    assert "</script>" in fresh.locator("#query-table tbody th").inner_text()
    fresh.locator("#query-table tbody button").click()
    assert "<b>who</b>" in fresh.locator("#query h3").inner_text()
    fresh.fill("#search", "cat")
    fresh.locator("#query-table tbody button").first.click()
    assert SCRIPT in fresh.locator("#lists .passage").first.text_content()
    assert "<i>cat</i>" in fresh.locator("#lists").inner_text()
    assert "a & <b>run" in fresh.locator("#h-made ~ h3").inner_text()
    assert fresh.evaluate("window.broken") is None
    assert fresh.locator("main img, #lists script, main b, main i").count() == 0


def test_sts_scatter(fresh):
    fresh.select_option("#unit", "1")
    fresh.wait_for_selector("#scatter svg path")
    assert fresh.locator("#scatter svg .mark-symbol path").count() == 12
    assert fresh.locator("#pairs tbody tr").count() == 10
    assert SCRIPT in fresh.locator("#pairs").inner_text()
    assert not fresh.locator("#s-queries").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_in_both_themes(fresh, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    fresh.emulate_media(color_scheme=scheme)
    open_queries(fresh)
    fresh.locator("#query-table tbody button").first.click()
    found = axe.Axe().run(fresh).response
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    assert "color-contrast" in {each["id"] for each in found["passes"]}


def test_theme_button(fresh):
    def background():
        return fresh.evaluate("getComputedStyle(document.body).backgroundColor")

    fresh.emulate_media(color_scheme="light")
    seen = {"auto": background()}
    for name in ("light", "dark", "auto"):
        fresh.click("#theme")
        assert fresh.locator("#theme").inner_text() == f"Theme: {name}"
        seen[name] = background()
    assert seen["light"] == seen["auto"] != seen["dark"]


def test_on_a_phone_only_tables_scroll_sideways(fresh):
    fresh.set_viewport_size({"width": 360, "height": 740})
    open_queries(fresh)
    fresh.locator("#query-table tbody button").first.click()
    fresh.wait_for_timeout(300)  # the charts follow the width
    assert fresh.evaluate("document.documentElement.scrollWidth") == 360
    fresh.set_viewport_size({"width": 1280, "height": 900})


def test_no_request_and_no_complaint(page, report_file):
    """Last, for it judges all that came before."""
    assert set(page.requests) == {report_file.as_uri()}
    assert page.complaints == []
