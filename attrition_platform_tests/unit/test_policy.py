"""Policy files: the shipped ones say what the design says, and a mistake is named."""

from __future__ import annotations

from importlib.resources import files

import pytest

from attrition_platform.errors import PolicyFileError
from attrition_platform.modeling.policy import SHIPPED, load_policy, parse_policy, policy_digest

TEXT = files("attrition_platform").joinpath("policies/responsible.toml").read_text(encoding="utf-8")


def test_the_shipped_policies_say_what_the_design_says() -> None:
    responsible, unrestricted = (load_policy(name) for name in SHIPPED)

    assert responsible.exclude_protected
    assert responsible.gates.min_roc_auc == 0.78
    assert responsible.gates.enforce_fairness
    assert not unrestricted.exclude_protected
    assert unrestricted.gates.min_roc_auc == 0.82
    assert not unrestricted.gates.enforce_fairness
    for policy in (responsible, unrestricted):
        assert (policy.tiers.high, policy.tiers.medium, policy.tiers.low) == (0.65, 0.45, 0.25)
        assert policy.gates.min_gain == 0.005
        assert policy.gates.min_impact_ratio == 0.80
        assert policy.tuning.seconds == 60


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("min_recall = ", "min_recal = ", "did you mean 'min_recall'"),
        ("min_roc_auc = 0.78", "min_roc_auc = 1.5", "gates.min_roc_auc"),
        ("min_roc_auc = 0.78", "min_roc_auc = nan", "gates.min_roc_auc"),
        ("trials = 4", "trials = 0", "tuning.trials"),
        ("high = 0.65", "high = 0.30", "tiers must fall"),
        ("cost_false_alarm = 1.0", "cost_false_alarm = 0.0", "threshold.cost_false_alarm"),
        ("capacity = 1.0", 'capacity = "all"', "threshold.capacity"),
        ("[tuning]", "[tunning]", "tunning"),
        ("[gates]", "[gates", "is no TOML"),
        (
            "exclude_protected = true\nexclude_proxies = false",
            "exclude_protected = false\nexclude_proxies = true",
            "exclude_proxies needs exclude_protected",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(old: str, new: str, problem: str) -> None:
    assert old in TEXT

    with pytest.raises(PolicyFileError) as caught:
        parse_policy(TEXT.replace(old, new, 1), "mine.toml")

    assert problem in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_every_mistake_is_listed_not_just_the_first() -> None:
    broken = TEXT.replace("min_recall = 0.60", "min_recall = 7").replace("trials = 4", "trials = -1")

    with pytest.raises(PolicyFileError) as caught:
        parse_policy(broken, "mine.toml")

    assert len(caught.value.problems) == 2


def test_a_policy_that_does_not_exist_names_the_shipped_ones() -> None:
    with pytest.raises(PolicyFileError, match="'responsible' and 'unrestricted'"):
        load_policy("lenient")


def test_the_digest_follows_the_meaning_and_not_the_comments() -> None:
    same = parse_policy("# another comment\n" + TEXT, "x")
    other = parse_policy(TEXT.replace("min_recall = 0.60", "min_recall = 0.61"), "x")

    assert policy_digest(same) == policy_digest(load_policy("responsible"))
    assert policy_digest(other) != policy_digest(same)


def test_a_canary_may_not_be_so_small_that_its_verdict_reads_only_a_part() -> None:
    with pytest.raises(PolicyFileError, match="share must be at least max_requests / 200,000"):
        parse_policy(TEXT + "\n[release.canary]\nshare = 0.005\nmax_requests = 2000\n", "mine.toml")
    kept = parse_policy(TEXT + "\n[release.canary]\nshare = 0.01\nmax_requests = 2000\n", "mine.toml")

    assert kept.release.canary.share == 0.01


def test_cooldowns_that_are_not_named_keep_their_default() -> None:
    policy = parse_policy(TEXT + "\n[triggers.cooldown_minutes]\ndrift = 5\n", "mine.toml")

    assert policy.triggers.cooldown_minutes["drift"] == 5
    assert policy.triggers.cooldown_minutes["performance"] == 720


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('[triggers]\ntime_zone = "Moon/Base"', "must be an IANA time zone"),
        ('[[notifications.quiet]]\nbegin = "25:00"\nend = "07:00"', "must be a time of day as HH:MM"),
        ("[drift]\nmin_score = nan", "finite"),
        ("[slo]\nrun_success = 1.1", "less than or equal to 1"),
    ],
)
def test_what_is_watched_is_checked_when_the_policy_is_read(section: str, problem: str) -> None:
    with pytest.raises(PolicyFileError, match=problem):
        parse_policy(f"{TEXT}\n{section}\n", "mine.toml")
