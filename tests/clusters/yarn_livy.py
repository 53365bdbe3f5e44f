"""A real YARN of one node, and a real Livy 0.5 with its protection against forged requests, as HDInsight has them.

`make yarn-livy`, or `python -m tests.clusters.yarn_livy FOLDER`, runs both until Ctrl-C. Their jars come from the Maven
registry, once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener
from xml.sax.saxutils import escape

import pyspark

from pipelines.spark.java import find_java
from tests.azurite import free_port

HOME = Path(pyspark.__file__).parent
JARS = Path(__file__).resolve().parents[2] / ".tools" / "clusters"
YARN = (
    "org.apache.hadoop hadoop-yarn-server-resourcemanager 3.3.4",
    "org.apache.hadoop hadoop-yarn-server-nodemanager 3.3.4",
    "org.apache.hadoop hadoop-yarn-server-timelineservice 3.3.4",  # ResourceManager loads it whether it is used or not
)
LIVY = ("org.apache.livy livy-server 0.5.0-incubating",)
OPENED = [
    word
    for package in ("lang", "util", "io", "net", "nio", "util.concurrent", "text", "lang.reflect", "lang.invoke")
    for word in ("--add-opens", f"java.base/java.{package}=ALL-UNNAMED")
]  # both are of the time of Java 8


def jars(name: str, wanted: Sequence[str]) -> str:
    """Return the class path of Maven artifacts and their dependencies; they are fetched once."""
    folder = JARS / name
    if not (folder / ".ready").exists():
        print(f"Fetching {name} with all that it needs from the Maven registry (once; 1 to 5 minutes)", file=sys.stderr)
        ivy = next((HOME / "jars").glob("ivy-*.jar"))
        for artifact in wanted:
            command = [_java(), "-cp", str(ivy), "org.apache.ivy.Main", "-cache", str(JARS / "cache" / name), "-warn"]
            command += ["-dependency", *artifact.split(), "-confs", "default", "-types", "jar", "bundle"]
            subprocess.run(
                [*command, "-retrieve", f"{folder}/[artifact]-[revision](-[classifier]).[ext]"],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        (folder / ".ready").touch()
    return f"{folder}/*"


@dataclass
class Cluster:
    """Run a ResourceManager, a NodeManager and a Livy, all of whose files lie in `folder`."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.conf = self.folder / "conf"
        self.conf.mkdir(parents=True, exist_ok=True)
        self.shared = self.folder / "shared"  # the storage of the cluster, which the laptop sees too
        self.shared.mkdir(exist_ok=True)
        self.port, self.web = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._configure()
        with ThreadPoolExecutor(2) as fetching:
            yarn, self.livy_jars = fetching.map(jars, ("yarn", "livy"), (YARN, LIVY))
        for name in ("resourcemanager.ResourceManager", "nodemanager.NodeManager"):
            self._start(name.rpartition(".")[2], yarn, f"org.apache.hadoop.yarn.server.{name}", "-Xmx512m")
        await_answer(f"http://127.0.0.1:{self.web}/ws/v1/cluster/nodes", b"RUNNING")
        self.start_livy()

    def start_livy(self) -> None:
        self._start("LivyServer", self.livy_jars, "org.apache.livy.server.LivyServer", "-Xmx512m")
        await_answer(f"{self.url}/batches", b"total")

    def stop_livy(self) -> None:
        self.end(self.processes.pop("LivyServer"))

    def stop(self) -> None:
        for process in reversed(list(self.processes.values())):
            self.end(process)
        self.processes.clear()

    def _start(self, name: str, class_path: str, main: str, *options: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("IRBIS", "PYTHON"))}
        environment |= {
            "HADOOP_CONF_DIR": str(self.conf),
            "YARN_CONF_DIR": str(self.conf),
            "SPARK_CONF_DIR": str(self.conf),
            "LIVY_CONF_DIR": str(self.conf),
            "LIVY_HOME": str(self.folder),
            "SPARK_HOME": str(HOME),
            "JAVA_HOME": str(find_java().home),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [_java(), *OPENED, *options, "-cp", f"{self.conf}:{class_path}", main],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _configure(self) -> None:
        here, ports = "127.0.0.1", iter([free_port() for _ in range(8)])
        yarn: dict[str, object] = {
            f"yarn.resourcemanager.{name}address": f"{here}:{next(ports)}"
            for name in ("", "scheduler.", "resource-tracker.", "admin.")
        }
        yarn |= {f"yarn.nodemanager.{n}address": f"{here}:{next(ports)}" for n in ("", "localizer.", "webapp.")}
        yarn |= {
            "yarn.resourcemanager.webapp.address": f"{here}:{self.web}",
            "yarn.resourcemanager.scheduler.class": "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo."
            "FifoScheduler",
            "yarn.scheduler.minimum-allocation-mb": 256,
            "yarn.nodemanager.hostname": here,
            "yarn.nodemanager.resource.memory-mb": 7168,
            "yarn.nodemanager.resource.cpu-vcores": 4,
            "yarn.nodemanager.local-dirs": self.folder / "local",
            "yarn.nodemanager.log-dirs": self.folder / "logs",
            "yarn.nodemanager.vmem-check-enabled": "false",
            # A disk that is nearly full is one all the same, and with the checker off the first look still counts.
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
            "yarn.nodemanager.delete.debug-delay-sec": 600,
        }
        core = {"fs.defaultFS": "file:///", "hadoop.tmp.dir": self.folder / "tmp"}
        self._xml("yarn-site.xml", yarn), self._xml("core-site.xml", core)
        self._lines("log4j.properties", {
            "log4j.rootLogger": "INFO,out", "log4j.appender.out": "org.apache.log4j.ConsoleAppender",
            "log4j.appender.out.layout": "org.apache.log4j.PatternLayout",
            "log4j.appender.out.layout.ConversionPattern": "%d %p %c{1}: %m%n",
        })  # fmt: skip
        self._lines("livy.conf", {
            "livy.server.host": here, "livy.server.port": self.port, "livy.server.csrf-protection.enabled": "true",
            "livy.spark.master": "yarn", "livy.spark.deploy-mode": "cluster",
            "livy.file.local-dir-whitelist": f"{self.folder}/",
            "livy.server.recovery.mode": "recovery", "livy.server.recovery.state-store": "filesystem",
            "livy.server.recovery.state-store.url": (self.folder / "recovery").as_uri(),
        })  # fmt: skip
        self._lines("spark-defaults.conf", {
            "spark.yarn.jars": f"local:{HOME}/jars/*", "spark.driver.memory": "1500m", "spark.executor.memory": "1g",
            "spark.executor.instances": 1, "spark.executor.cores": 2, "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": 2, "spark.default.parallelism": 2,
            "spark.databricks.delta.snapshotPartitions": 1, "spark.driver.host": here,
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
            "spark.executor.memoryOverhead": "1500m",
        }, " ")  # fmt: skip

    def _xml(self, name: str, found: dict[str, object]) -> None:
        each = "".join(
            f"<property><name>{k}</name><value>{escape(str(v))}</value></property>\n" for k, v in found.items()
        )
        (self.conf / name).write_text(f"<configuration>\n{each}</configuration>\n")

    def _lines(self, name: str, found: dict[str, object], between: str = "=") -> None:
        (self.conf / name).write_text("".join(f"{key}{between}{value}\n" for key, value in found.items()))


def packed_environment(archive: Path) -> Path:
    """Pack an environment as --archives takes it: this Python's own, whose packages stay where they are on the node.

    Torch alone is gigabytes: a path file of the environment leads to what the node has.
    """
    made = archive.parent / "environment"
    venv.create(made, symlinks=True)
    (next(made.glob("lib/python3*/site-packages")) / "lane.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    with tarfile.open(archive, "w:gz") as target:
        for each in made.iterdir():
            target.add(each, each.name)
    return archive


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run the cluster while the block runs."""
    running = Cluster(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def _java() -> str:
    return str(find_java().home / "bin" / "java")


def await_answer(address: str, sign: bytes, seconds: float = 90) -> None:
    browser, limit = build_opener(ProxyHandler({})), time.monotonic() + seconds
    while True:
        with suppress(URLError, OSError):
            if sign in browser.open(address, timeout=5).read():
                return
        if time.monotonic() > limit:
            raise TimeoutError(f"{address} did not answer")
        time.sleep(0.5)


def main() -> None:
    """Run YARN and Livy until Ctrl-C, and say how to send a run there."""
    for each in (signal.SIGINT, signal.SIGTERM):  # whoever ends this ends both
        signal.signal(each, signal.default_int_handler)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else JARS / "running").absolute()
    with suppress(KeyboardInterrupt), cluster(folder) as running:
        archive = packed_environment(running.folder / "environment.tar.gz")
        print(
            f"Livy: {running.url}, YARN: http://127.0.0.1:{running.web}. Ctrl-C ends both.\n"
            f"irbis submit run --on hdinsight --follow --workspace {running.shared}/survey --images DIR "
            f"--set hdinsight.url={running.url} --set hdinsight.archive={archive}",
            flush=True,
        )
        signal.pause()


if __name__ == "__main__":
    main()
