"""Command lines of sbatch, and what is done with Slurm's answers."""

import dataclasses
import shlex
import subprocess

import pytest

from wwdc.errors import ClusterError
from wwdc.submit.sbatch import Request, submit

HARD = [
    "x_ds.drop_variables=[\"b\",'angle']",
    "a  b",
    "$HOME `id` \\ !",
    "~logger.wandb",
    "é=*",
    "",
]


def request(stage="tune", *, options=("--output=/logs/%j.out",), extra=(), words=()):
    return Request(
        stage=stage,
        variables={"DATA_ROOT": "/my data", "WWDC_SITE": ""},
        options=tuple(options),
        extra=tuple(extra),
        command=("/scripts/ray_head.sh", stage, "/experiments/x", *words),
    )


def test_words_in_the_order_in_which_sbatch_lets_later_ones_win():
    argv = request(options=["--time=720"], extra=["--time=60"]).argv("7")
    assert argv == [
        "sbatch",
        "--parsable",
        "--time=720",
        "--dependency=afterany:7",
        "--time=60",
        "--export=ALL",
        "/scripts/ray_head.sh",
        "tune",
        "/experiments/x",
    ]


def test_a_line_means_the_same_words_to_a_shell(slurm):
    made = request(words=HARD)
    assert shlex.split(made.line("7")) == ["DATA_ROOT=/my data", "WWDC_SITE=", *made.argv("7")]
    subprocess.run(["bash", "-c", made.line("7")], check=True)
    submit([made], "7")
    assert slurm.calls[0] == slurm.calls[1] == made.argv("7")
    assert slurm.variables[0] == slurm.variables[1]
    assert slurm.variables[0]["DATA_ROOT"] == "/my data"


def test_a_chain_waits_for_the_job_before(slurm):
    jobs = submit([request("tune"), request("embed"), request("stats")], after="7")
    waits = [call[3] for call in slurm.calls]
    assert waits == [f"--dependency=afterany:{job}" for job in ("7", "41", "42")]
    assert [job.job_id for job in jobs] == ["41", "42", "43"]
    assert [job.log for job in jobs] == ["/logs/41.out", "/logs/42.out", "/logs/43.out"]
    assert "--dependency=afterany:41 " in jobs[1].line


def test_the_first_of_a_chain_waits_for_nothing(slurm):
    submit([request()])
    assert not any(word.startswith("--dependency") for word in slurm.calls[0])


@pytest.mark.parametrize(
    "stdout, job_id, cluster",
    [("41\n", "41", None), ("41;htc\n", "41", "htc"), ("welcome to htc 2\n41;htc\n", "41", "htc")],
)
def test_the_answer_of_sbatch(slurm, stdout, job_id, cluster):
    slurm.answer(0, stdout)
    (job,) = submit([request()])
    assert (job.job_id, job.cluster) == (job_id, cluster)


def test_a_warning_of_sbatch_is_passed_on(slurm, capsys):
    slurm.answer(0, "41\n", "sbatch: warning: few GPUs left\n")
    submit([request()])
    assert "few GPUs left" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra, log",
    [
        ([], "/logs/41.out"),
        (["--output=mine-%j"], "mine-41"),
        (["--output", "mine"], "mine"),
        (["-o", "mine"], "mine"),
        (["-omine"], "mine"),
        (["-o", "a", "--output=b"], "b"),
    ],
)
def test_the_log_is_where_the_last_option_says(extra, log):
    assert request(extra=extra).log("41") == log


def test_a_percent_sign_in_the_logs_folder():
    made = request(options=["--output=/100%%/%j.out"])
    assert made.log("41") == "/100%/41.out"
    assert made.log(None) == "/100%%/%j.out"


def test_a_refusal_is_told_in_slurms_words(slurm):
    slurm.answer(0, stderr="a line before\nsbatch: error: Invalid partition name\n", code=1)
    with pytest.raises(ClusterError) as error:
        submit([request(extra=["--partition=no"]), request("embed")])
    assert "refuses the tune job: Invalid partition name (" in str(error.value)
    assert "--partition=no" in str(error.value)
    assert len(slurm.calls) == 1


def test_a_refusal_takes_back_what_was_submitted(slurm):
    slurm.answer(0, "41;htc\n")
    slurm.answer(1, "42;htc\n")
    slurm.answer(2, stderr="sbatch: error: no\n", code=1)
    slurm.answer(4, stderr="scancel: error: no\n", code=1)
    with pytest.raises(ClusterError) as error:
        submit([request("tune"), request("embed"), request("stats")])
    assert slurm.calls[3:] == [
        ["scancel", "--clusters=htc", "41"],
        ["scancel", "--clusters=htc", "42"],
    ]
    assert "Job 41 (tune), submitted before, is cancelled." in str(error.value)
    assert "could not be cancelled: scancel --clusters=htc 42" in str(error.value)


def test_an_interrupt_takes_back_what_was_submitted(slurm, capsys):
    class Interrupts(Request):
        def argv(self, after):
            raise KeyboardInterrupt

    last = Interrupts(**{f.name: getattr(request(), f.name) for f in dataclasses.fields(Request)})
    with pytest.raises(KeyboardInterrupt):
        submit([request(), last])
    assert slurm.calls[1:] == [["scancel", "41"]]
    assert "Job 41 (tune), submitted before, is cancelled." in capsys.readouterr().err


def test_an_answer_without_a_job(slurm):
    slurm.answer(0, "thank you\n")
    with pytest.raises(ClusterError, match="named no job: 'thank you'"):
        submit([request()])


def test_no_sbatch_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"there is no sbatch .* login node"):
        submit([request()])
