"""Stands in for the package `docker` where the tests of py-consul ask it for a container with Consul.

It starts a registry on this machine instead: the program named in TURNO_CLIENTS_REGISTRY, `consul` or `turno`. It has just
what those tests call, and knows nothing of them.
"""

import json
import os
import socket
import subprocess
import tempfile

from docker.errors import APIError


class DockerClient:
    """What `docker.from_env()` gives."""

    def __init__(self):
        self.containers = Containers()


def from_env():
    return DockerClient()


def free_ports(count):
    """Ports that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Containers:
    def run(self, image, command, **options):
        configuration = json.loads(options["environment"]["CONSUL_LOCAL_CONFIG"])
        if "acl" in configuration:
            # The image would be newer than the Consul here, and its access control another.
            raise APIError("access control is not part of this comparison")
        return Container()

    def get(self, name):
        raise APIError(f"no container {name}")


class Container:
    """A running registry."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        program = os.environ["TURNO_CLIENTS_REGISTRY"]
        http, *others = free_ports(4)
        if os.path.basename(program) == "consul":
            arguments = ["agent", "-dev", "-node", "client-tests", "-bind", "127.0.0.1", "-client", "127.0.0.1"]
            arguments += ["-http-port", http, "-server-port", others[0], "-serf-lan-port", others[1]]
            arguments += ["-serf-wan-port", others[2], "-dns-port", -1, "-grpc-port", -1, "-enable-script-checks"]
        else:
            arguments = ["registry", "--listen", f"127.0.0.1:{http}", "--node", "client-tests", "--enable-script-checks"]
        self.output = open(os.path.join(self.folder.name, "output"), "w+b")
        self.process = subprocess.Popen(
            [program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output
        )
        self.attrs = {"NetworkSettings": {"Ports": {"8500/tcp": [{"HostPort": str(http)}]}}}

    def reload(self):
        pass

    def logs(self):
        with open(self.output.name, "rb") as output:
            return output.read()

    def stop(self):
        self.process.kill()
        self.process.wait()

    def remove(self, force=False):
        self.output.close()
        self.folder.cleanup()
