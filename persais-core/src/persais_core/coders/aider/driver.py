"""Drives aider's edit-block coder for exactly one job; runs inside aider's own environment, never inside ours.

Aider is imported first, which takes seconds, and then the job is waited for: so the process can be started before
anybody knows what it will be asked. Until then it knows no tree. It ends when its door is closed without a job, or when
whoever started it is gone.

One line of JSON with the job comes through the door, an inherited socket; one line with the result goes back. The job
brings the files with it, which are laid out in a folder of our own: nothing else of the project can be seen from here,
and what is changed there is looked through by others when this process has gone. The model is reached over another
inherited socket, with a token that is no key. Aider's command line is not used at all: it reads settings from the tree
it works on, exits 0 on nearly every failure and writes wherever a reply points. Here nothing is read but the job, and
nothing is written but the allowed files.

Runs on Python 3.10 to 3.13 with the standard library and aider 0.86.2; the overridden methods are those of that
version, and a contract test holds them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import mimetypes
import os
import socket
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # `-I` leaves the script's own folder out

from confinement import Confinement

CRASHED = 70
ORPHANED = 71
LOOK_AFTER = 0.5  # seconds between two looks at whether our parent is still there
# What a job makes use of, the last ones only once the model is called.
NEEDED = (
    "litellm",
    "aider.models",
    "aider.coders.editblock_coder",
    "aider.io",
    "openai.resources.chat.completions",
)
RETRY_AFTER = (0.5, 1.0, 2.0)  # seconds before the second, third and fourth try of one call
LONGEST_WAIT = 20.0  # seconds a server may ask us to wait with Retry-After
REFLECTIONS = 3  # times a reply that cannot be applied is sent back
MAX_REPLY = 20_000  # characters of the last reply that are reported


class ModelFailureError(Exception):
    """The call failed for good. Aider reports it to its output and ends the message."""


def make_coder(job: dict, fence: Confinement):
    """Build aider's coder for a job.

    The classes stand inside, so that this file can be read where aider is not installed.
    """
    import litellm
    from aider import models
    from aider.coders.base_coder import FinishReasonLength
    from aider.coders.editblock_coder import EditBlockCoder
    from aider.io import InputOutput

    class Model(models.Model):
        def token_count(self, messages):
            # Only ever shown to people; the exact count would load a tokenizer, or fetch one.
            return len(messages if isinstance(messages, str) else json.dumps(messages, default=str)) // 4

    class Silent(InputOutput):
        """Asks nobody, opens no page, and writes only inside the fence."""

        write_error: str | None = None

        def confirm_ask(self, *args, **kwargs):
            return False

        def offer_url(self, *args, **kwargs):
            return False

        def _tool_message(self, *args, **kwargs):
            return None

        def tool_output(self, *args, **kwargs):
            return None

        def assistant_output(self, *args, **kwargs):
            return None

        def write_text(self, filename, content, *args, **kwargs):
            name = str(Path(filename).relative_to(fence.root))
            if refusal := fence.refusal(name):
                self.write_error = f"{name} may not be written: {refusal}"
                raise OSError(self.write_error)
            try:
                data = content.encode("utf-8")
            except UnicodeError as error:
                raise ValueError(f"The new text of {name} is not valid Unicode: {error.reason}.") from error
            try:
                (fence.root / name).write_bytes(data)
            except OSError as error:
                self.write_error = f"{name} could not be written: {error.strerror}"
                raise

    class ConfinedCoder(EditBlockCoder):
        """Aider's coder with our own calls, retries and refusals."""

        max_reflections = REFLECTIONS
        outcome: str | None = None  # of the last reply: edited, malformed, denied; None: it had no edits
        failure: dict | None = None
        denied: list = []  # noqa: RUF012 - replaced, never changed in place

        def get_platform_info(self):
            return ""  # the model needs to know nothing of this machine

        def check_for_file_mentions(self, content):
            return None  # a file is in the chat because the job says so

        def check_for_urls(self, inp):
            return inp

        def summarize_start(self):
            return None  # would be paid calls for a chat that ends here

        def show_exhausted_error(self):
            return None

        def allowed_to_edit(self, path):
            self.abs_fnames.add(self.abs_root_path(path))
            return True  # judged in apply_updates, before anything was touched

        def send(self, messages, model=None, functions=None):
            self.partial_response_content = ""
            self.partial_response_function_call = {}
            try:
                completion = self.ask(messages)
                self.outcome = None
                self.show_send_output(completion)
            except (ModelFailureError, FinishReasonLength, litellm.ContextWindowExceededError):
                raise
            except Exception as error:  # aider would drop it, and the job would look like a reply without edits
                self.failure = {"type": type(error).__name__, "code": None, "text": str(error)[:1000]}
                raise ModelFailureError(str(error)) from error
            return
            yield  # aider expects a generator

        def ask(self, messages):
            """One call, tried again where that can help."""
            waits = list(RETRY_AFTER)
            while True:
                try:
                    _, completion = self.main_model.send_completion(messages, None, False)
                    if getattr(completion, "choices", None):
                        return completion
                    failure = {"type": "EmptyAnswer", "code": None, "text": "the answer had no choices"}
                    again, wait = True, None
                except litellm.ContextWindowExceededError:
                    raise
                except Exception as error:
                    failure, again, wait = judge(error)
                    # Some models refuse any temperature but their own.
                    if failure["code"] == 400 and "temperature" in failure["text"] and self.main_model.use_temperature:
                        self.main_model.use_temperature = False
                        continue
                if not again or not waits:
                    self.failure = failure
                    raise ModelFailureError(failure["text"])
                time.sleep(max(waits.pop(0), wait or 0.0))

        def apply_updates(self):
            try:
                paths = [edit[0] for edit in self.get_edits()]
            except ValueError:
                paths = []  # malformed: reported below, by aider's own reading
            refusals = {path: why for path in paths if (why := fence.refusal(path))}
            if refusals:
                again = not self.denied
                self.outcome = "denied"
                self.denied = [*self.denied, *(path[:200] for path in refusals if path[:200] not in self.denied)]
                if again:
                    self.reflected_message = refused(refusals, job)
                return set()
            for path in paths:
                fence.make(path)
            malformed = self.num_malformed_responses
            edited = super().apply_updates()
            if self.io.write_error:
                self.reflected_message = None
            elif self.num_malformed_responses > malformed or self.reflected_message:
                self.outcome = "malformed"
            elif edited:
                self.outcome = "edited"
            return edited

    def judge(error: Exception) -> tuple[dict, bool, float | None]:
        """What a failed call was, whether to try again, and after how many seconds at least."""
        code = getattr(error, "status_code", None)
        unreachable = isinstance(error, (litellm.Timeout, litellm.APIConnectionError))
        wait = None
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        with contextlib.suppress(TypeError, ValueError):
            wait = min(float(headers.get("retry-after")), LONGEST_WAIT)
        if unreachable:
            code = None
        failure = {"type": type(error).__name__, "code": code, "text": str(error)[:1000]}
        return failure, unreachable or code in (408, 409, 425, 429) or (code or 0) >= 500, wait

    name = "openai/" + job["model"]
    # A known entry, however empty, keeps aider from looking the model up on the network.
    models.model_info_manager.local_model_metadata[name] = {"litellm_provider": "openai", "mode": "chat"}
    model = Model(name, weak_model=name, editor_model=False)
    model.reasoning_tag = "think"  # else thoughts in the text would be searched for edits
    model.extra_params = {
        **(model.extra_params or {}),
        "api_base": "http://gateway.invalid/v1",
        "api_key": job["token"],
        "timeout": job["timeout"],
        "max_retries": 0,
    }
    io = Silent(
        pretty=False,
        yes=False,
        fancy_input=False,
        input_history_file=None,
        chat_history_file=None,
        llm_history_file=None,
        encoding="utf-8",
        line_endings="lf",
        root=job["root"],
    )
    coder = ConfinedCoder(
        model,
        io,
        fnames=[str(fence.root / path) for path in job["edit"]],
        read_only_fnames=[str(fence.root / path) for path in job["read"]],
        use_git=False,
        auto_commits=False,
        auto_lint=False,
        auto_test=False,
        map_tokens=0,
        stream=False,
        suggest_shell_commands=False,
        detect_urls=False,
        chat_language="English",
    )
    # Without git aider takes the common folder of the files for the root, and would look for a reply's paths there.
    coder.root = str(fence.root)
    coder.abs_root_path_cache = {}
    return coder


def inherited(gateway: socket.socket):
    """An HTTP client for the one connection there is.

    Args:
        gateway: the connection; none can be made when it is lost, as none can be made at all.
    """
    import httpx

    class Inherited(httpx.BaseTransport):
        def __init__(self):
            self.line = http.client.HTTPConnection("gateway.invalid")
            self.line.sock = gateway

        def handle_request(self, request):
            try:
                self.line.request(request.method, request.url.raw_path.decode(), request.read(), dict(request.headers))
                answer = self.line.getresponse()
                return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
            except (OSError, http.client.HTTPException) as error:
                raise httpx.ConnectError(str(error), request=request) from error

    return httpx.Client(transport=Inherited(), trust_env=False)


def refused(refusals: dict, job: dict) -> str:
    """What the model is told about paths it may not write."""
    lines = [f"- {path}: {why}" for path, why in refusals.items()]
    allowed = [f"- {path}" for path in [*job["edit"], *job["create"]]]
    return "\n".join(
        [
            "Nothing of your reply was applied, because it names files that may not be written:",
            *lines,
            "Only these files may be changed or created:",
            *allowed,
            "Send all your changes again, for these files only.",
        ]
    )


def work(job: dict, gateway: socket.socket) -> dict:
    """Carry out a job.

    Args:
        job: as it came.
        gateway: the connection to the model.

    Returns:
        The result, as it is told to whoever started this process.
    """
    root = Path(job["root"])
    for path, text in job["files"].items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
    fence = Confinement(root.resolve(), job["edit"], job["create"], job["others"])
    import_module("litellm").client_session = inherited(gateway)
    coder = make_coder(job, fence)
    coder.run(with_message=job["message"], preproc=False)
    fence.sweep()
    return {
        "status": status(coder),
        "denied": coder.denied,
        "reply": (coder.partial_response_content or "")[:MAX_REPLY],
        "failure": coder.failure,
        "problem": coder.io.write_error,
    }


def status(coder) -> str:
    """The one word for how a job ended; the first reason that holds. Whether anything differs is seen by others."""
    if coder.failure:
        return "llm_error"
    if coder.num_exhausted_context_windows:
        return "token_limit"
    if coder.io.write_error:
        return "apply_error"
    return coder.outcome if coder.outcome in ("denied", "malformed") else "edited"


def end_with(parent: int) -> None:
    """End this process when its parent is gone: nobody reads what it does, and its tree may be given to another."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_AFTER)
        os._exit(ORPHANED)

    threading.Thread(target=look, daemon=True).start()


def main() -> int:
    """Get ready, wait for the job, do it, tell the result."""
    end_with(os.getppid())
    mimetypes.knownfiles.clear()  # the system's lists are seen from here and cannot be read, which breaks the library
    door, gateway = (socket.socket(fileno=int(os.environ.pop(f"PERSAIS_{name}"))) for name in ("DOOR", "GATEWAY"))
    for name in NEEDED:
        import_module(name)
    line = door.makefile("rb").readline()
    if not line:
        return 0  # nobody had a job
    job = json.loads(line)
    os.environ["OPENAI_API_KEY"] = job["token"]  # aider looks whether it is set
    try:
        result = work(job, gateway)
    except Exception:
        sys.stderr.write(traceback.format_exc())
        return CRASHED
    door.sendall(json.dumps(result, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return 0


if __name__ == "__main__":
    ended = main()
    sys.stderr.flush()
    os._exit(ended)  # all is written; to take down what aider has loaded would take longer than many a job
