import base64
import io
import json
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest

from demo_curriculum.progress.frames import Pictures, demos_of_run, draw_demo
from demo_curriculum.progress.page import Climb, _heat, _spread, _times, draw_page
from demo_curriculum.store import read_demos

pytest.importorskip("plotly")
image = pytest.importorskip("PIL.Image")

KEY = "demos/montezuma-key.h5"


@pytest.fixture
def root(request):
    return request.config.rootpath


def data_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def test_the_page_loads_nothing_and_holds_the_whole_climb(climb):
    page = draw_page([Climb("first", climb, {}, ["line 7 was damaged"]), Climb("second", climb, {})])
    assert len(page) < 10_000_000
    without_plotly = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(src|href)\s*=|@import|url\(", without_plotly)
    data = data_of(page)
    assert data["notes"] == ["line 7 was damaged"]
    assert [track["name"] for track in data["tracks"]] == ["first", "second"]
    track = data["tracks"][0]
    updates = [record for record in climb if record["kind"] == "update"]
    assert track["frontier"] == [record["frontiers"][0] for record in updates]
    assert track["score"][:5] == [None] * 4 + [33.33]
    assert track["entropy"] == [None] * 60
    assert [event["kind"] for event in track["events"]] == ["retreat", "end"]
    assert track["events"][0]["steps"] == 30 * 4096


def test_a_log_cannot_write_markup(climb):
    evil = "</script><script>alert(1)</script>"
    climb[0]["demos"][0]["env_id"] = evil
    climb.append({"kind": "remedy", "update": 60, "remedy": evil, "reason": "<b>"})
    page = draw_page([Climb("<i>name", climb, {})])
    assert evil not in page and "<i>name" not in page
    assert "remedy: </script>" in data_of(page)["tracks"][0]["events"][-1]["text"]


def test_heat_columns_are_bytes_of_per_cent_ending_where_they_were_logged():
    updates = [{"update": u, "agent_steps": 10 * u, "seconds": 1.0 * u} for u in (1, 2, 4)]
    records = [
        {"kind": "buckets", "update": 2, "demo": 0, "width": 9, "tie_rate": [None, 0.5]},
        {"kind": "buckets", "update": 2, "demo": 1, "width": 9, "tie_rate": [0.0, 0.0]},
        {"kind": "buckets", "update": 3, "demo": 0, "width": 9, "tie_rate": [0.254, 1.0, 0.0]},
    ]
    heat = _heat(records, updates, 0)
    assert (heat["rows"], heat["steps"], heat["seconds"]) == (3, [20, 30], [2.0, 3.0])
    percent = np.frombuffer(base64.b64decode(heat["percent"]), np.uint8).reshape(3, 2)
    assert percent.tolist() == [[255, 25], [50, 100], [255, 0]]
    assert _heat(records, updates, 2) is None
    assert _times(updates)(3) == (30.0, 3.0)


def test_a_spread_has_both_ends():
    assert _spread(10, 4) == [0, 3, 6, 9]
    assert _spread(3, 10) == [0, 1, 2]
    assert _spread(0, 10) == []


def test_pictures_are_the_demos_own_frames(root):
    demo = read_demos(root / KEY)[0]
    pictures = draw_demo(demo, 5)
    assert pictures.steps == [round(len(demo) * quarter / 4) for quarter in range(5)]
    drawn = [decoded(picture) for picture in pictures.images]
    assert all(picture.shape == (210, 160, 3) for picture in drawn)
    # What is compressed away is little; where the man went is not.
    assert all(np.abs(one - other).max() > 100 for one, other in pairwise(drawn))
    assert np.abs(decoded(draw_demo(demo, 2).images[0]) - drawn[0]).max() == 0


def decoded(url):
    return np.asarray(image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)


def test_a_runs_demos_are_found_by_fingerprint(root, tmp_path):
    demo = read_demos(root / KEY)[0]
    described = [{"fingerprint": demo.fingerprint}]
    assert demos_of_run(described, tmp_path) is None
    assert demos_of_run(described, tmp_path, root / KEY)[0].fingerprint == demo.fingerprint
    shutil.copy(root / KEY, tmp_path / "demo.h5")
    assert demos_of_run(described, tmp_path)[0].fingerprint == demo.fingerprint
    with pytest.raises(Exception, match="does not hold demo 0"):
        demos_of_run([{"fingerprint": "ab"}], tmp_path)


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium with a chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driver
    driver.quit()


def test_in_a_browser_the_slider_moves_the_frontier_the_picture_and_the_cursor(browser, climb, tmp_path):
    swatches = [solid((40 * i, 20, 200)) for i in range(6)]
    pictures = {climb[0]["demos"][0]["fingerprint"]: Pictures([0, 76, 152, 228, 304, 380], swatches)}
    other = [{**climb[0], "seed": 1}, *climb[1:]]
    path = tmp_path / "climb.html"
    path.write_text(draw_page([Climb("one", climb, pictures), Climb("two", other, pictures)]), encoding="utf-8")
    browser.get(path.as_uri())

    def state():
        return browser.execute_script(
            """
            const at = (id) => document.getElementById(id);
            return {
              picture: document.querySelector("#screens img").src,
              width: document.querySelector("#screens img").naturalWidth,
              frontier: document.querySelector("dd").firstChild.textContent,
              mark: document.querySelector("#bar .mark").getAttribute("x1"),
              lit: document.querySelectorAll("#strip img:not(.ahead)").length,
              cursor: at("charts").layout.shapes[0].x0,
              index: at("slider").value,
              wide: document.documentElement.scrollWidth - innerWidth,
            }"""
        )

    def drawn():
        return browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    drawn()
    last = state()
    assert (last["frontier"], last["index"], last["width"]) == ("0", "59", 8)
    assert last["picture"] == swatches[0]
    slider = browser.find_element("id", "slider")
    slider.send_keys("\ue011")  # Home
    drawn()
    first = state()
    assert (first["frontier"], first["index"], first["cursor"]) == ("340", "0", 4096)
    assert first["picture"] == swatches[4]
    assert float(first["mark"].rstrip("%")) == pytest.approx(100 * 340 / 380)
    assert first["lit"] < last["lit"]
    slider.send_keys("\ue014")  # to the right
    drawn()
    assert (state()["index"], state()["cursor"]) == ("1", 8192)
    browser.find_element("tag name", "body").send_keys("r")
    drawn()
    assert (state()["index"], state()["cursor"]) == ("29", 30 * 4096)
    browser.find_element("css selector", "[value=seconds]").click()
    drawn()
    assert state()["cursor"] == 60.0
    browser.execute_script(
        "document.getElementById('track').value = 1; document.getElementById('track').onchange({target: {value: 1}})"
    )
    drawn()
    assert "seed 1" in browser.find_element("id", "protocol").text
    browser.find_element("id", "play").click()
    browser.execute_async_script("setTimeout(arguments[0], 700)")
    assert 0 < int(state()["index"]) < 59
    for width, scheme in ((360, "dark"), (1280, "light")):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        drawn()
        assert state()["wide"] <= 0
        background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background))) < 200) == (scheme == "dark")
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert {url.split(":")[0] for url in urls} <= {"file", "data", "blob"}


def test_a_climb_in_segments_shows_each_ones_frontier_until_they_are_one(browser, climb, tmp_path):
    swatches = [solid((40 * i, 20, 200)) for i in range(6)]
    pictures = {climb[0]["demos"][0]["fingerprint"]: Pictures([0, 76, 152, 228, 304, 380], swatches)}
    updates = [record for record in climb if record["kind"] == "update"]
    for update in updates[:-1]:
        update["segments"] = [[[0, 200, 90], [200, 380, max(update["frontiers"][0], 200)]]]
    updates[-1]["segments"] = [[[0, 380, 0]]]
    climb[0]["demos"][0]["lives_lost"] = [190]
    merge = {"kind": "move", "update": 60, "agent_steps": 60 * 4096, "demo": 0, "before": 200, "after": 0}
    climb.append({"kind": "best", "update": 50, "agent_steps": 50 * 4096, "score": 1400.0, "steps": 380})
    climb.append({**merge, "reason": "merge", "tie_rate": 0.4, "trials": 64, "goal": 380})
    evaluated = {"kind": "eval", "update": 60, "agent_steps": 60 * 4096, "episodes": 9, "mean": 300.0, "ties": 0.5}
    climb += [{**evaluated, "protocol": "sticky", "temperature": 0.5}, {**evaluated, "protocol": "of tomorrow"}]
    path = tmp_path / "climb.html"
    path.write_text(draw_page([Climb("one", climb, pictures)]), encoding="utf-8")
    browser.get(path.as_uri())
    assert [text(browser, "dt", 0), text(browser, "dd", 0)] == ["Frontier", "0\nof 380, 100 % climbed"]
    assert count(browser, "#screens img") == count(browser, ".mark") == 1
    browser.find_element("id", "slider").send_keys("\ue011")  # Home
    # 90 steps of the first segment, 340 - 200 of the second.
    assert text(browser, "dd", 0).startswith("230\nof 380 steps, in 2 segments, 39 %")
    shown = [figure.text for figure in browser.find_elements("css selector", "#screens figcaption")]
    assert shown == ["step 90, 90 left", "step 340, 140 left"]
    (cross,) = browser.find_elements("css selector", "#bar text")
    assert cross.get_attribute("x") == "50%"
    sources = [image.get_attribute("src") for image in browser.find_elements("css selector", "#screens img")]
    assert sources == [swatches[1], swatches[4]]
    marks = browser.find_elements("css selector", "#bar .mark")
    places = [float(mark.get_attribute("x1").rstrip("%")) for mark in marks]
    assert places == pytest.approx([100 * 90 / 380, 100 * 340 / 380])
    charts = browser.execute_script("return document.getElementById('charts').data.map(t => [t.yaxis, t.y, t.marker])")
    left = next(y for axis, y, _ in charts if axis == "y7")
    assert (left[0], left[-1]) == (230, 0)
    symbols = [marker["symbol"] for _, _, marker in charts if marker and isinstance(marker.get("symbol"), list)]
    assert symbols == [["circle", "star"]]
    charts = "document.getElementById('charts').data"
    texts = browser.execute_script(f"return {charts}.flatMap(t => Array.isArray(t.text) ? t.text : [])")
    assert "sticky, temperature 0.5, 9 episodes: mean 300, ties 50 %" in texts
    assert "of tomorrow, 9 episodes: mean 300, ties 50 %" in texts
    browser.find_element("tag name", "summary").click()
    events = browser.find_element("id", "events").text
    assert "merge 200 → 0" in events and "so far: 1,400 points in 380 steps" in events
    assert browser.get_log("browser") == []


def text(browser, selector, index):
    return browser.find_elements("css selector", selector)[index].text


def count(browser, selector):
    return len(browser.find_elements("css selector", selector))


def solid(colour):
    picture = io.BytesIO()
    image.new("RGB", (8, 8), colour).save(picture, "WEBP")
    return "data:image/webp;base64," + base64.b64encode(picture.getvalue()).decode()
