"""A headless Chromium that tests drive through a pipe: no port, no driver, no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60.0
"""That one command may take on a busy machine."""


def find_browser() -> str:
    """Return the path of a browser, or skip the test."""
    for name in (os.environ.get("JAXSIM_TEST_BROWSER", ""), *NAMES):
        path = shutil.which(name) if name else None
        if path:
            return path
    pytest.skip("no Chromium is installed: the page is not looked at in a browser")


class Browser:
    """One browser process with one tab.

    Args:
        scripts: whether pages may run scripts.
        width: of the window in CSS pixels.
        height: of the same.
        dark: whether the reader prefers dark pages.
    """

    def __init__(
        self, scripts: bool = True, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        self.settings = scripts, width, height, dark
        self.messages: list[dict[str, Any]] = []
        self.number = 0

    def __enter__(self) -> Browser:
        self.profile = tempfile.mkdtemp(prefix="jaxsim-browser-")
        ours, theirs = os.pipe(), os.pipe()
        self.to, self.of = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        # The browser reads commands from descriptor 3 and writes to 4.
        command = (
            f"exec 3<&{ours[0]} 4>&{theirs[1]}; exec {find_browser()} --headless "
            "--remote-debugging-pipe --no-sandbox --disable-gpu --no-first-run "
            "--disable-background-networking --disable-component-update --disable-sync "
            "--disable-default-apps --disable-extensions --disable-dev-shm-usage "
            "--host-resolver-rules='MAP * ~NOTFOUND' --proxy-server=127.0.0.1:9 "
            f"--user-data-dir={self.profile} about:blank"
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        scripts, width, height, dark = self.settings
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
        except (EOFError, BrokenPipeError):
            self.__exit__(None, None, None)
            pytest.skip("Chromium is installed but does not start")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        return self

    session: str | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.to.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.of.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command of the DevTools protocol."""
        self.number += 1
        number = self.number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        answer = self.wait(lambda m: m.get("id") == number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message of a kind; all others are kept."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            message = self._read()
            if wanted(message):
                return message
            self.messages.append(message)
        raise TimeoutError("the browser did not answer")

    def _read(self) -> dict[str, Any]:
        parts = bytearray()
        while (byte := self.of.read(1)) != b"\0":
            if not byte:
                raise EOFError("the browser ended")
            parts += byte
        return json.loads(parts)

    def open(self, page: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.messages.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        if not any(m.get("method") == "Page.loadEventFired" for m in self.messages):
            self.wait(lambda m: m.get("method") == "Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return the value of an expression, which may be a promise."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def complaints(self) -> list[Any]:
        """Return errors, warnings and messages of the console since the page was opened."""
        self.run("0")  # what happened before it is here then
        wanted = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [m["params"] for m in self.messages if m.get("method") in wanted]

    def requests(self) -> list[str]:
        """Return what was requested since the page was opened, the page included."""
        sent = [m for m in self.messages if m.get("method") == "Network.requestWillBeSent"]
        return [m["params"]["request"]["url"] for m in sent]
