"""A headless Chromium, spoken to in W3C WebDriver over HTTP: pages at a width and in a colour scheme."""

import base64
import json
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]


def missing():
    """Return which of the two programs is not installed, or nothing."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), "")


class Browser:
    """One session; `show` loads a file, `ask` returns what a script in the page returns."""

    def __init__(self, address):
        self.address = address
        options = {"goog:chromeOptions": {"args": ARGUMENTS, "binary": shutil.which("chromium")}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self.session = f"/session/{session['sessionId']}"

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def tell(self, command, **parameters):
        """Send a command of the Chrome DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self.session}/goog/cdp/execute", body)

    def show(self, path, width, scheme, media="screen"):
        """Load a file at a width in pixels, in "light" or "dark"."""
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.tell("Emulation.setEmulatedMedia", media=media, features=features)
        self._call("POST", f"{self.session}/url", {"url": path.as_uri()})

    def ask(self, script, *arguments):
        """Return what `script` returns in the page."""
        return self._call("POST", f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, key):
        """Press one key and let it go."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("POST", f"{self.session}/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys}]})

    def picture(self, *, whole=True):
        """Return a PNG of the page, or of its first screen."""
        shot = self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        return base64.b64decode(shot["data"])

    def _clip(self, whole):
        if not whole:
            return {}
        width, height = self.ask("let e = document.documentElement; return [e.clientWidth, e.scrollHeight]")
        return {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}

    def close(self):
        """End the session."""
        self._call("DELETE", self.session)


@contextmanager
def chromium():
    """Yield a browser; the driver chooses its own port and says it, and ends with the block."""
    command = [shutil.which("chromedriver"), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            browser = Browser(f"http://127.0.0.1:{_port(driver.stdout)}")
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()


def _port(lines):
    for text in lines:
        if "started successfully on port" in text:
            return int(text.rstrip().rstrip(".").rsplit(" ", 1)[1])
    raise RuntimeError("chromedriver said no port")
