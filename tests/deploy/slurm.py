"""A Slurm of two nodes on this machine, of one's own: munge, a controller, two node daemons."""

import contextlib
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.tuner.mlflow_store import free_port

_CONFIGURATION = """\
ClusterName=tuner
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=30
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[0]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.2 Port={ports[1]} CPUs=2
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:2
"""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm."""

    folder: Path

    def call(self, *command: str, cwd: Path | None = None, **settings: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        own = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=os.environ | own | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """Return what Slurm says of a job."""
        return dict(re.findall(r"(\w+)=(\S+)", self.call("scontrol", "show", "job", number)))

    def wait_for(self, number: str, *states: str, seconds: float = 300) -> str:
        """Return the state of a job once it is one of those."""
        deadline = time.monotonic() + seconds
        while (state := self.job(number)["JobState"]) not in states:
            assert time.monotonic() < deadline, f"job {number} is {state}"
            time.sleep(0.2)
        return state


@contextlib.contextmanager
def slurm() -> Iterator[Slurm]:
    """Run a Slurm with two nodes of two CPUs."""
    assert os.geteuid() == 0, "Slurm's daemons need root: run these tests as root"
    for program in ("munged", "slurmctld", "slurmd", "sbatch"):
        assert shutil.which(program), f"{program} is missing: apt-get install slurm-wlm munge"
    with tempfile.TemporaryDirectory(prefix="tuner-slurm-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with contextlib.ExitStack() as stack:
            _configure(folder)
            stack.enter_context(_daemon(folder, "munged", *_munge(folder)))
            _wait(lambda: (folder / "munge.socket").exists())
            stack.enter_context(_daemon(folder, "slurmctld", "slurmctld", "-D"))
            for name in ("n1", "n2"):
                stack.enter_context(_daemon(folder, name, "slurmd", "-D", "-N", name))
            started = Slurm(folder)
            _wait(lambda: started.call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2")
            stack.callback(_end_jobs, started)
            yield started


def _end_jobs(started: Slurm) -> None:
    """Kill what is left of jobs, with their Rays: the daemons would leave it behind."""
    with contextlib.suppress(AssertionError):
        started.call("scancel", "--signal=KILL", "--full", f"--user={getpass.getuser()}")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _of_job(process, started.folder):
                process.kill()


def _of_job(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process is a step of a job of this Slurm, or was started by one."""
    ours = process.environ().get("SLURM_CONF") == str(folder / "slurm.conf")
    return ours and ("SLURM_JOB_ID" in process.environ() or process.name() == "slurmstepd")


def _configure(folder: Path) -> None:
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool-n1", "spool-n2"):
        (folder / name).mkdir()
    host, ports = socket.gethostname().partition(".")[0], [free_port(), free_port()]
    text = _CONFIGURATION.format(host=host, port=free_port(), ports=ports, folder=folder)
    (folder / "slurm.conf").write_text(text)


def _munge(folder: Path) -> list[str]:
    files = ("key-file=munge.key", "socket=munge.socket", "pid-file=munge.pid")
    files += ("log-file=munge.log", "seed-file=munge.seed")
    options = [f"--{key}={folder / name}" for key, name in (file.split("=") for file in files)]
    return ["munged", "--force", "--foreground", *options]


@contextlib.contextmanager
def _daemon(folder: Path, name: str, *command: str) -> Iterator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | {"SLURM_CONF": str(folder / "slurm.conf")},
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(AssertionError):
            if condition():
                return
        assert time.monotonic() < deadline, "Slurm did not start"
        time.sleep(0.2)
