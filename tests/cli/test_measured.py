"""Tables and sentences on what was measured, from rows that are made up."""

import csv
import io

from tests.viz.gradient_rows import row
from vae_fn.cli.measured import advice, csv_text, false_claims, latex, not_finite, oracle_lines, table

WIDEST = row(
    "reinforce-moving-average",
    1000,
    bias=1.234e-5,
    bias_se=1.234e-6,
    relative_bias=1.234,
    variance=1.234e-5,
    variance_exact=1.234e-5,
    variance_noise=1.2e-5,
    variance_batch=3e-7,
    snr=1.234e-5,
    cosine=-0.123,
    milliseconds=1.234e-5,
)


def test_a_table_is_at_most_120_columns_wide_sorted_by_work():
    rows = [WIDEST, row("a", milliseconds=2.0), row("b", milliseconds=1e-9), row("a", group="prior")]
    lines = table(rows).splitlines()
    assert max(map(len, lines)) <= 120
    order = [line.split()[0] for line in lines if line.startswith(("a ", "b ", "reinforce"))]
    assert order == ["reinforce-moving-average", "b", "a", "a"]
    assert lines[0] == "encoder"
    assert "prior" in lines
    assert "1.2e-5 +- 1.2e-6*" in table(rows)
    assert " 97/3 " in table(rows)


def test_columns_without_anything_are_left_out():
    head = table([row(bias=None, relative_bias=None, cosine=None, variance_batch=None)]).splitlines()[1].split()
    assert head == ["estimator", "K", "variance", "SNR", "f+df", "ms", "x", "ms", "x", "f"]


def test_the_target_is_told_where_there_are_several():
    rows = [WIDEST, row("pathwise", target="the ELBO")]
    text = table(rows)
    assert max(map(len, text.splitlines())) <= 127
    assert text.splitlines()[1].split()[:4] == ["estimator", "K", "target", "bias"]
    targets = {line.split()[0]: line.split()[2] for line in text.splitlines()[3:5]}
    assert targets == {"reinforce-moving-average": "bound", "pathwise": "ELBO"}
    assert " ELBO " in latex(rows)
    assert "target" not in table(rows[:1]).splitlines()[1]


def test_what_has_no_noise_has_no_work_to_compare():
    lines = table([row("a"), row("exact", variance_noise=0.0), row("rounded", variance_noise=1e-20)]).splitlines()
    compared = {line.split()[0]: line.split()[-2:] for line in lines[3:6]}
    assert compared == {"a": ["1", "1"], "exact": ["-", "-"], "rounded": ["-", "-"]}


def test_gradients_that_are_no_numbers_come_last_and_are_told():
    lost = dict.fromkeys(("bias", "bias_se", "variance", "variance_noise", "variance_batch", "snr", "cosine"))
    rows = [row("lost", **lost), row("lost", group="prior", **lost), row("a")]
    assert [line.split()[0] for line in table(rows).splitlines()[3:5]] == ["a", "lost"]
    assert not_finite(rows) == ["lost (K = 4): its gradient is not finite in encoder, prior: see `vae-fn verify`"]
    assert (len(advice(rows)), false_claims(rows[2:])) == (1, [])


def test_doubling_the_samples_takes_off_what_the_split_and_the_measured_rate_say():
    (line,) = advice([row(variance=4.0, variance_noise=1.0, variance_batch=3.0)])
    assert "25 % of the variance is noise" in line
    assert "doubling the batch takes off 50 %, doubling K 12 % if" in line
    rows = [row(samples=k, variance=8 / k**2, variance_noise=8 / k**2, variance_batch=0.0) for k in (2, 4, 16)]
    assert advice(rows)[0].endswith("doubling K 50 % if the noise falls as 1/K, 75 % as measured from K = 4 to 16")
    assert advice([row(variance=1.0, variance_batch=None)])[0] == (
        "encoder (dreg, K = 4): all of the variance is noise; doubling K takes off 50 % if it falls as 1/K"
    )
    assert advice([row(variance_noise=0.0)]) == []


def test_a_claim_that_the_bias_contradicts_is_told_once_and_no_other_is():
    far = {"bias": 0.2, "relative_bias": 0.5}
    rows = [row("wrong", **far), row("wrong", group="prior", **far), row("right"), row("rws", **far)]
    rows.append(row("honest", unbiased_for="nothing: a reason", **far))
    (line,) = false_claims(rows, follows=["rws"])
    assert line.startswith(
        "wrong says that it is unbiased for the K-sample bound, and in encoder its bias at K = 4 is 20"
    )


def test_csv_has_every_number_and_latex_the_rules_of_booktabs():
    rows = [row("a", step=3), row("b_c", step=3, bias=None, relative_bias=None)]
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(each["variance"]) for each in read] == [2.0, 2.0]
    assert read[1]["bias"] == ""
    text = latex(rows)
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"b\_c"))
    assert " step " in text
    assert " step " not in latex([row()])


def test_oracles_are_told_with_their_error_or_why_there_is_none():
    given = {"target": "the ELBO", "samples": 1, "method": "quadrature", "value": -3.5, "gradient_norm": 0.25}
    none = {"target": "the K-sample bound", "method": None, "reason": "too many latents"}
    lines = oracle_lines([given | {"error_bound": 2e-13}, none | {"samples": 4}, none | {"samples": 8}])
    assert lines == [
        "the ELBO: -3.5 nats, gradient of length 0.25 (each entry to 2e-13), by quadrature",
        "the K-sample bound: no exact gradient (too many latents)",
    ]
