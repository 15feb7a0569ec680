"""A cluster of Tidegate's services for a benchmark, with a database, a virtual host and a prefix of its own.

Needs RabbitMQ (`rabbitmqctl`), Postgres ($TIDEGATE_BENCH_POSTGRES, else 127.0.0.1 as postgres, with `psql`) and Redis. It
ends with the process that started it, and what it made goes with it; a database that it was given stays.
"""
import atexit, os, pathlib, re, signal, subprocess, sys, time

POSTGRES = os.environ.get("TIDEGATE_BENCH_POSTGRES", "postgres://postgres@127.0.0.1:5432")
OPTIONS = os.environ.get("TIDEGATE_BENCH_POSTGRES_OPTIONS", "")


class Cluster:
    """All services, ready; `env` holds what the command line needs.

    Over a database that is given, gateway and arbiter alone: nobody works on what is in it.
    """

    def __init__(self, tidegate, work, executors, in_flight, database=None):
        self.tidegate, self.work, self.processes = tidegate, pathlib.Path(work), []
        self.name = f"tidegate_bench_{os.getpid()}"
        self.env = {
            **os.environ,
            "TIDEGATE_POSTGRES": database or f"{POSTGRES}/{self.name}{OPTIONS}",
            "TIDEGATE_RABBITMQ": f"amqp://guest:guest@127.0.0.1:5672/{self.name}",
            "TIDEGATE_REDIS": "redis://127.0.0.1:6379",
            "TIDEGATE_PREFIX": f"{self.name}:",
            "TIDEGATE_SERVICE_TOKEN": "bench",
            "TIDEGATE_ALLOW_PRIVATE": "127.0.0.0/8",
            "TIDEGATE_LOG_FORMAT": "json",
        }
        atexit.register(self.tidy)
        if not database:
            self.run("psql", "-q", POSTGRES, "-c", f"CREATE DATABASE {self.name}")
        self.run("rabbitmqctl", "-q", "add_vhost", self.name)
        self.run("rabbitmqctl", "-q", "set_permissions", "-p", self.name, "guest", ".*", ".*", ".*")
        self.env["TIDEGATE_SEALING_KEY"] = self.told(tidegate, "keys", "new-sealing-key")
        self.run(tidegate, "migrate")
        self.env["TIDEGATE_API_KEY"] = self.told(tidegate, "keys", "create")
        arbiter = self.serve("arbiter")
        self.env["TIDEGATE_ARBITER"] = f"http://{arbiter}"
        addresses = [arbiter] if database else [arbiter, self.serve("tracker"), self.serve("planner")]
        for _ in range(0 if database else executors):
            more = {"TIDEGATE_MAX_IN_FLIGHT": str(in_flight // executors)}
            addresses.append(self.serve("executor", more))
        self.gateway = self.serve("gateway")
        self.env["TIDEGATE_URL"] = f"http://{self.gateway}"
        for address in [*addresses, self.gateway]:
            while subprocess.run([tidegate, "health", address], env=self.env, stdout=subprocess.DEVNULL).returncode:
                time.sleep(0.1)
        time.sleep(1)  # until what starts has come to rest

    def run(self, *args, **more):
        return subprocess.run(args, env=self.env, check=True, text=True, **more)

    def told(self, *args, **more):
        return self.run(*args, stdout=subprocess.PIPE, **more).stdout.strip()

    def serve(self, kind, more={}):
        """Starts a service and returns where it listens, once it says so."""
        log = self.work / f"{kind}-{len(self.processes)}.log"
        command = [self.tidegate, "serve", kind, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, env={**self.env, **more}, stderr=open(log, "w"))
        self.processes.append(process)
        while process.poll() is None:
            found = re.search(r'"address":"([^"]+)"', log.read_text())
            if found:
                return found.group(1)
            time.sleep(0.01)
        sys.exit(f"{kind} ended: {log.read_text()}")

    def check(self):
        """Nobody starts them anew, so a service that ends by itself ends the benchmark."""
        for number, process in enumerate(self.processes):
            if process.poll() is not None:
                kind = process.args[2]
                sys.exit(f"{kind} ended: {(self.work / f'{kind}-{number}.log').read_text()[-2000:]}")

    def notes(self):
        """Each process: its peak memory and its CPU time."""
        for process in self.processes:
            peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())
            cpu = sum(map(int, pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
            yield f"{process.args[2]} {int(peak.group(1)) // 1024} MiB {cpu * 10} ms"

    def tidy(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(30)
        subprocess.run(["rabbitmqctl", "-q", "delete_vhost", self.name])
        subprocess.run(["psql", "-q", POSTGRES, "-c", f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)"])
