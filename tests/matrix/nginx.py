"""A real nginx in front of a running server, as one process with all its files in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.process import START_SECONDS, STOP_SECONDS, Server, free_port

# As in a deployment, with the client's Host and websockets; but `proxy_redirect`, if on, would mend wrong redirects.
CONFIGURATION = """\
pid pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        "" close;
    }}
    server {{
        listen 127.0.0.1:{port};
        location {prefix}/ {{
            proxy_pass http://127.0.0.1:{upstream}{replacement};
            proxy_redirect off;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
    }}
}}
"""


@contextmanager
def proxying(server: Server, prefix: str, folder: Path, *, stripping: bool) -> Iterator[Server]:
    """Run nginx on a free port; it hands on what is below ``prefix`` to ``server``, with or without the prefix."""
    # Debian keeps it where only root looks.
    nginx = shutil.which("nginx", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
    if nginx is None:
        pytest.skip("needs nginx: apt-get install nginx")
    port = free_port()
    replacement = "/" if stripping else ""
    configuration = CONFIGURATION.format(port=port, prefix=prefix, upstream=server.port, replacement=replacement)
    (folder / "nginx.conf").write_text(configuration)
    log = folder / "nginx.log"
    with log.open("wb") as output:
        command = [nginx, "-p", folder, "-c", "nginx.conf", "-g", "daemon off; master_process off;"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    proxy = Server(process, port, log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "pid").exists():  # it listens before it writes that
            assert process.poll() is None and time.monotonic() < deadline, proxy.log()
            time.sleep(0.01)
        yield proxy
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
