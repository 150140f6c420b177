"""A real nginx in front of the page, with the configuration that the documentation shows."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import DOCS, blocks
from tests.harness import PATIENCE_SECONDS, free_port, require_program, wait_for

NAME, PASSWORD = "operator", "open sesame"
PROGRAM = Path("/usr/sbin/nginx")
"""Debian's, which only root has on the PATH."""
MAIN = """\
daemon off;
error_log stderr;
pid {here}/nginx.pid;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
{server}
}}
"""
PAGES_OWN_PASSWORD = re.compile(r".*(?:auth_basic|Authorization).*\n")
"""The lines that the page says to leave out where the page has its own password."""


def documented(page_port: int, port: int, here: Path, *, has_password: bool) -> str:
    """The server of the documentation, with this machine's ports and files."""
    (text,) = [block for block in blocks(DOCS / "web-page.rst") if block.startswith("server {")]
    if not has_password:
        text, count = PAGES_OWN_PASSWORD.subn("", text)
        assert count == 3
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/certs/ops.example.org.pem": f"{here}/cert.pem",
        "/etc/ssl/private/ops.example.org.key": f"{here}/key.pem",
        "http://127.0.0.1:9111/": f"http://127.0.0.1:{page_port}/",
        **({"/etc/nginx/memkill.htpasswd": f"{here}/htpasswd"} if has_password else {}),
    }
    for old, new in changes.items():
        assert text.count(old) == 1, f"the documentation has no {old}"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(page_port: int, here: Path, *, has_password: bool) -> Iterator[str]:
    """Its address, ``127.0.0.1:PORT``."""
    program = str(PROGRAM) if PROGRAM.exists() else require_program("nginx")
    openssl = require_program("openssl")
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ops.example.org"]
    files = [
        "-keyout",
        f"{here}/key.pem",
        "-out",
        f"{here}/cert.pem",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([openssl, *words, *files], check=True, capture_output=True)
    hashed = subprocess.run(
        [openssl, "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True
    )
    (here / "htpasswd").write_text(f"{NAME}:{hashed.stdout}")
    port, config, log = free_port(), here / "nginx.conf", here / "nginx.log"
    server = documented(page_port, port, here, has_password=has_password)
    owner = here.owner()
    config.write_text(MAIN.format(here=here, user=f"user {owner};" if owner == "root" else "", server=server))
    with log.open("wb") as errors:
        process = subprocess.Popen([program, "-p", str(here), "-c", str(config)], stderr=errors)
    try:
        wait_for((here / "nginx.pid").exists, message=log.read_text)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        print(log.read_text())
