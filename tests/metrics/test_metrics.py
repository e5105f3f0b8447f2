"""The numbers are right, cheap, and named as the NOC expects."""

import gc
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ppcd.charge.rules import State
from ppcd.metrics import Counter, Gauge, Histogram, HistogramCell, Label, Metrics, labels
from ppcd.metrics.families import CHILDREN_MAX
from ppcd.metrics.reference import reference
from ppcd.metrics.revision import revision

CONTRACT = {
    "ppcd_link_up": {"link"},
    "ppcd_link_window_in_use": {"link"},
    "ppcd_submits_total": {"link", "status"},
    "ppcd_replies_total": {"verdict"},
    "ppcd_reply_ack_seconds": set(),
    "ppcd_charges_total": {"state"},
    "ppcd_paid_seconds": set(),
    "ppcd_debits_total": {"adapter", "outcome"},
    "ppcd_debit_seconds": {"adapter"},
    "ppcd_jobs": {"kind"},
    "ppcd_oldest_job_seconds": {"kind"},
    "ppcd_charges_in_doubt": set(),
    "ppcd_charges_in_review": set(),
    "ppcd_webhooks_total": {"outcome"},
    "ppcd_http_requests_total": {"route", "code"},
    "ppcd_http_request_seconds": {"route"},
    "ppcd_store_commit_seconds": set(),
    "ppcd_reactor_lag_seconds": set(),
}


def samples(metrics: Metrics, accept: str = "") -> dict[tuple[str, frozenset], float]:
    text = metrics.expose(accept)[1].decode()
    parse = parse_openmetrics if accept else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_every_metric_of_the_contract_is_there_with_its_labels():
    metrics = Metrics()
    defined = {f.name: {label.name for label in f.labels} for f in metrics.families}
    assert {name: defined.get(name) for name in CONTRACT} == CONTRACT
    for name in CONTRACT:
        attribute = name.removeprefix("ppcd_").removesuffix("_total")
        assert getattr(metrics, attribute).name == name


def test_the_build_is_told():
    metrics = Metrics(version="1.2.3", revision="abc")
    ((_, found),) = [key for key in samples(metrics) if key[0] == "ppcd_build_info"]
    assert {"version", "revision", "python"} == {name for name, _ in found}
    assert ("version", "1.2.3") in found


def test_the_revision_is_read_from_a_checkout(tmp_path):
    assert revision(tmp_path) == "unknown"
    git = tmp_path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("0123456789abcdef0123\n")
    assert revision(tmp_path) == "0123456789ab"
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text("# pack-refs\nfedcba9876543210 refs/heads/main\n")
    assert revision(tmp_path) == "fedcba987654"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text("aaaaaaaaaaaaaaaaaaaa\n")
    assert revision(tmp_path) == "a" * 12
    (git / "HEAD").write_text("ref: refs/heads/other\n")
    assert revision(tmp_path) == "unknown"


def test_states_are_those_of_the_domain():
    assert set(labels.STATES) == {state.value for state in State}


def test_closed_labels_start_at_zero():
    found = samples(Metrics())
    for state in labels.STATES:
        assert found["ppcd_charges_total", frozenset({("state", state)})] == 0
    assert found["ppcd_paid_seconds_count", frozenset()] == 0


def test_a_known_link_adapter_or_route_starts_at_zero():
    metrics = Metrics()
    metrics.know_link("main")
    metrics.know_adapter("acme")
    metrics.know_route("/health/live")
    found = samples(metrics)
    assert found["ppcd_link_up", frozenset({("link", "main")})] == 0
    key = frozenset({("adapter", "acme"), ("outcome", "unknown")})
    assert found["ppcd_debits_total", key] == 0
    assert found["ppcd_http_request_seconds_count", frozenset({("route", "/health/live")})] == 0


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_what_is_counted_is_exported(accept):
    metrics = Metrics()
    metrics.replies.child("yes").add()
    metrics.replies.child("yes").add(2)
    metrics.link_up.child("main").set(1)
    metrics.charges_in_doubt.set(3)
    metrics.charges_in_doubt.child().add(-1)
    metrics.contradictions.add()
    metrics.paid_seconds.observe(0.3, 2)
    metrics.link_window_in_use.child("main").follow(lambda: 7)
    found = samples(metrics, accept)
    assert found["ppcd_replies_total", frozenset({("verdict", "yes")})] == 3
    assert found["ppcd_link_up", frozenset({("link", "main")})] == 1
    assert found["ppcd_charges_in_doubt", frozenset()] == 2
    assert found["ppcd_contradictions_total", frozenset()] == 1
    assert found["ppcd_paid_seconds_bucket", frozenset({("le", "0.25")})] == 0
    assert found["ppcd_paid_seconds_bucket", frozenset({("le", "0.5")})] == 2
    assert found["ppcd_paid_seconds_sum", frozenset()] == 0.6
    assert found["ppcd_link_window_in_use", frozenset({("link", "main")})] == 7


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 5)), max_size=30))
def test_a_histogram_loses_nothing(observations):
    cell = HistogramCell((0.5, 1, 10))
    for x, n in observations:
        cell.observe(x, n)
    rows = dict(cell.cumulative())
    assert rows["+Inf"] == cell.count == sum(n for _, n in observations)
    assert rows["1.0"] == sum(n for x, n in observations if x <= 1)
    assert cell.sum == pytest.approx(sum(x * n for x, n in observations))


def test_a_label_value_outside_the_closed_set_is_a_bug():
    with pytest.raises(ValueError, match="'maybe' is no value of label verdict"):
        Metrics().replies.child("maybe")
    with pytest.raises(ValueError, match="has 1 labels, got 2 values"):
        Metrics().replies.child("yes", "no")


def test_bucket_bounds_must_rise():
    with pytest.raises(ValueError, match="must rise"):
        Histogram("x_seconds", "X.", bounds=(1, 1))


def test_a_family_that_grows_without_end_is_folded_into_other():
    family = Counter("x_total", "X.", [Label("status")])
    for n in range(CHILDREN_MAX + 50):
        family.child(str(n)).add()
    counted = {values[0]: cell.value for values, cell in family.series()}
    assert len(counted) == CHILDREN_MAX + 1
    assert counted["other"] == 50


def test_a_gauge_is_set_and_read_back():
    gauge = Gauge("x", "X.", [Label("kind", ("a", "b"))])
    gauge.child("a").set(2.5)
    assert [(values, cell.value) for values, cell in gauge.series()] == [(("a",), 2.5), (("b",), 0)]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.2,*/*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_scraper_chooses_the_format(accept, content_type):
    found, body = Metrics().expose(accept)
    assert found.startswith(content_type)
    assert body.endswith(b"# EOF\n") == ("openmetrics" in content_type)


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_there_are_no_created_series(accept):
    assert b"_created" not in Metrics().expose(accept)[1]


def test_process_and_garbage_collector_are_exported():
    gc.collect()
    text = Metrics().expose()[1].decode()
    for name in ("process_cpu_seconds_total", "process_open_fds", "python_gc_collections_total"):
        assert re.search(rf"^{name}\b", text, re.MULTILINE)


def test_two_instances_share_nothing():
    one, other = Metrics(), Metrics()
    one.contradictions.add()
    assert samples(other)["ppcd_contradictions_total", frozenset()] == 0


def test_the_reference_is_current():
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text() == reference(), "run: python -m ppcd.metrics > docs/metrics.md"
