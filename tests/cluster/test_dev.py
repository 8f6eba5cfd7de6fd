"""The throwaway Slurm: `up`, `down`, and the faults that tests plan for its hosts."""

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.cluster.slurm import DEV, Slurm, requires_slurm

pytestmark = [pytest.mark.slow, requires_slurm]

NOBODY = pwd.getpwnam("nobody").pw_uid
BASICS = ("bash", "env", "realpath", "dirname", "sha256sum", "cut", "uname", "sed")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def folder():
    """Of an instance that a test makes itself; munge's user has to reach it."""
    path = Path(tempfile.mkdtemp(prefix="wwdc-dev-", dir="/run"))
    path.chmod(0o755)
    yield path
    assert dev("down", folder=path).returncode == 0
    if path.exists():
        path.rmdir()


def dev(name, *arguments, folder, scripts=DEV, user=(), **environment):
    return subprocess.run(
        [*user, str(scripts / name), *arguments],
        env=os.environ | {"WWDC_DEV_DIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=180,
    )


def left(folder):
    """What an instance has left: processes, namespaces and interfaces of its own."""
    processes = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or []):
            processes.append(process.info["cmdline"])
    tag = subprocess.run(
        ["bash", "-c", f"source {DEV}/down && printf %s $tag"],
        env=os.environ | {"WWDC_DEV_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = [*Path("/run/netns").glob(f"{tag}*"), *Path("/sys/class/net").glob(f"{tag}*")]
    return [*processes, *names]


def test_up_again_changes_nothing_and_another_number_makes_new_hosts(folder):
    first = dev("up", "1", folder=folder)
    controller = (folder / "slurmctld.pid").read_text()
    again = dev("up", "1", folder=folder)
    assert first.stdout == again.stdout == f"export SLURM_CONF={folder}/slurm.conf\n"
    assert (folder / "slurmctld.pid").read_text() == controller
    assert dev("up", "2", folder=folder).stdout == first.stdout
    assert (folder / "slurmctld.pid").read_text() != controller
    hosts = subprocess.run(
        ["srun", "--nodes=2", "hostname"],
        env=os.environ | {"SLURM_CONF": str(folder / "slurm.conf")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert sorted(hosts.stdout.split()) == ["node1", "node2"]


def test_up_starts_a_dead_host_again(folder):
    dev("up", "2", folder=folder)
    first = {name: (folder / f"{name}.pid").read_text() for name in ("node1", "node2")}
    psutil.Process(int(first["node2"])).kill()
    assert dev("up", "2", folder=folder).returncode == 0
    assert (folder / "node1.pid").read_text() == first["node1"]
    assert (folder / "node2.pid").read_text() != first["node2"]
    assert psutil.pid_exists(int((folder / "node2.pid").read_text()))


def test_down_removes_all_of_one_instance_and_nothing_of_another(slurm, folder):
    dev("up", "2", folder=folder)
    assert left(folder)
    psutil.Process(int((folder / "node1.pid").read_text())).kill()
    assert dev("down", folder=folder).returncode == 0
    assert left(folder) == []
    assert not folder.exists()
    assert dev("down", folder=folder).returncode == 0
    # First, as a job would make the folder of temporary files again.
    assert [slurm.local(name) for name in slurm.hosts] == [[], [], []]
    assert slurm.run("srun", "--nodes=3", "hostname").stdout.count("node") == 3


@pytest.mark.parametrize("arguments", [["0"], ["-1"], ["51"], ["two"], ["1", "2"], ["--host"]])
def test_a_wrong_argument_exits_2(folder, arguments):
    result = dev("up", *arguments, folder=folder)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert list(folder.iterdir()) == []


def test_a_folder_with_other_files_is_refused_and_kept(folder):
    (folder / "thesis").touch()
    result = dev("up", "1", folder=folder)
    assert result.returncode == 2
    assert str(folder) in result.stderr
    assert dev("down", folder=folder).returncode == 0
    (folder / "thesis").unlink()


def test_a_missing_program_is_named_with_its_package(folder, tmp_path):
    for name in BASICS:
        (tmp_path / name).symlink_to(next(Path("/usr/bin").glob(name)))
    result = dev("up", folder=folder, PATH=str(tmp_path))
    assert result.returncode == 2
    assert "no scontrol" in result.stderr
    assert "slurm-client" in result.stderr


def test_others_than_root_are_told_so(slurm, folder):
    for name in ("up", "down"):
        copy = slurm.shared / name
        copy.write_bytes((DEV / name).read_bytes())
        copy.chmod(0o755)
    user = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]
    for name in ("up", "down"):
        result = dev(name, folder=folder, scripts=slurm.shared, user=user)
        assert result.returncode == 2
        assert "root" in result.stderr


def test_a_failed_start_shows_the_log_and_leaves_nothing(folder, tmp_path):
    false = tmp_path / "slurmctld"
    false.write_text("#!/bin/sh\necho the disk is full >&2\nexit 1\n")
    false.chmod(0o755)
    result = dev("up", "1", folder=folder, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "the disk is full" in result.stderr
    assert left(folder) == []
    assert not folder.exists()


def test_hosts_have_names_and_disks_of_their_own(slurm):
    step = 'touch "$TMPDIR/$(hostname)" "/dev/shm/$(hostname)"; getent hosts node2; echo $TMPDIR'
    said = slurm.run("srun", "--nodes=3", "sh", "-c", step).stdout
    address = said.split()[0]
    assert address.startswith("10.")
    assert said.count(address) == 3
    assert said.count("/tmp/wwdc-l") == 3
    for name in slurm.hosts:
        assert slurm.local(name) == [f"/dev/shm/{name}", f"/tmp/wwdc-l/{name}"]
        slurm.on(name, "sh", "-c", "rm /dev/shm/* /tmp/wwdc-l/*")


def test_a_job_of_another_user_runs_as_that_user(slurm):
    script = '#!/bin/sh\nid -un; echo "$HOME $GREETING $*"; touch "$TMPDIR/mine"; sleep 60\n'
    greeting = {"GREETING": "good day"}
    job = slurm.submit(script, "a", "b c", uid=NOBODY, environment=greeting)
    job.wait_for_text("good day", 30)
    assert job.text() == f"nobody\n{slurm.home(NOBODY)} good day a b c\n"
    assert job.log.owner() == "nobody"
    node = job.fields()["NodeList"]
    assert slurm.on(node, "stat", "--format=%U", "/tmp/wwdc-l/mine").stdout == "nobody\n"
    assert ("nobody", "sleep 60") in [(p.user, p.command) for p in slurm.processes(node)]
    job.cancel()
    assert job.wait(60) == -15
    assert job.state() == "CANCELLED"
    assert slurm.processes(node) == []
    slurm.on(node, "rm", "/tmp/wwdc-l/mine")


def test_the_exit_code_of_a_job_is_known_after_its_end(slurm):
    assert slurm.submit("#!/bin/sh\nexit 3\n").wait(60) == 3


def test_a_requeued_job_keeps_its_number(slurm):
    script = (
        "#!/bin/sh\necho start ${SLURM_RESTART_COUNT-0}\n[ $SLURM_RESTART_COUNT ] || sleep 60\n"
    )
    job = slurm.submit(script, options=["--requeue", "--open-mode=append"])
    job.wait_for_text("start 0", 30)
    slurm.run("scontrol", "requeue", job.id)
    assert job.wait(90) == 0
    assert job.text().splitlines()[-1] == "start 1"
    assert job.fields()["Restarts"] == "1"


def test_a_killed_host_is_noticed_and_comes_back(slurm):
    job = slurm.submit("#!/bin/sh\nsleep 300\n", options=["--nodelist=node3", "--no-requeue"])
    job.wait_for("RUNNING", 30)
    slurm.kill_host("node3")
    job.wait_for("NODE_FAIL", 60)
    assert "DOWN" in slurm.run("scontrol", "show", "node", "node3").stdout
    slurm.start_host("node3")
    assert slurm.run("srun", "--nodelist=node3", "hostname").stdout == "node3\n"


def test_a_host_without_its_cable_is_noticed_and_comes_back(slurm):
    job = slurm.submit("#!/bin/sh\nsleep 300\n", options=["--nodelist=node2", "--no-requeue"])
    job.wait_for("RUNNING", 30)
    slurm.cut("node2")
    job.wait_for("NODE_FAIL", 60)
    assert slurm.processes("node2")
    slurm.join("node2")
    assert slurm.run("srun", "--nodelist=node2", "hostname").stdout == "node2\n"


def test_an_exposed_folder_is_open_on_all_hosts_and_here_as_before(slurm):
    closed = slurm.shared / "closed"
    for name in ("first", "second", "hidden"):
        (closed / "inner" / name).mkdir(parents=True)
        (closed / "inner" / name / "note").write_text(name)
    closed.chmod(0o700)

    def read(host, name):
        return slurm.on(host, "cat", str(closed / "inner" / name / "note"), uid=NOBODY).stdout

    assert read("node1", "first") == ""
    slurm.expose(closed / "inner" / "first")
    slurm.expose(closed / "inner" / "second")
    slurm.kill_host("node1")
    slurm.start_host("node1")
    for host in slurm.hosts:
        assert [read(host, name) for name in ("first", "second", "hidden")] == [
            "first",
            "second",
            "",
        ]
    assert (closed / "inner" / "hidden").is_dir()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_host_has_no_more_memory_than_its_limit(slurm):
    hungry = "#!/bin/sh\nhead -c 300M /dev/zero | tail | wc -c\n"
    options = ["--nodelist=node2"]
    assert slurm.submit(hungry, options=options).wait(60) == 0
    slurm.limit_memory("node2", 100 * 1024**2)
    job = slurm.submit(hungry, options=options)
    job.wait(60)
    assert "Killed" in job.text()
    slurm.limit_memory("node2", 2 * 1024**3)
    job = slurm.submit(hungry, options=options)
    job.wait(60)
    assert job.text() == f"{300 * 1024**2}\n"
