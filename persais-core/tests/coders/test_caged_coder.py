"""What a hostile driver tries between the walls and does not achieve, and what is taken back from its copy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_model import KEY, Answer, ScriptedServer, fails, says
from stand_in_driver import StandIn

from persais_core.coders.aider import copies
from persais_core.coders.base import CodeJob

Job = Callable[..., CodeJob]
ECHO, OTHER = "bot/agents/echo.py", "bot/agents/other.py"
TRIES = """
told = job()
tree = lay_out(told)
def connect(port, kind=socket.SOCK_STREAM, protocol=0):
    socket.socket(socket.AF_INET, kind, protocol).connect(("127.0.0.1", port))
def send():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT))
TRIES = {
    "TCP": lambda: connect(PORT),
    "TCP on IPv6": lambda: socket.socket(socket.AF_INET6),
    "MPTCP": lambda: connect(PORT, protocol=262),
    "UDP": send,
    "a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "a name": lambda: socket.gethostbyname("example.com"),
    "listening": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "/etc/passwd": lambda: open("/etc/passwd").read(),
    "the tree's .git": lambda: open(TREE + "/.git").read(),
    "the tree": lambda: os.listdir(TREE),
    "the tree's .env": lambda: open(TREE + "/.env").read(),
    "the scratch": lambda: os.listdir(SCRATCH),
    "the home": lambda: os.listdir(HOME),
    "our code": lambda: open(OURS).read(),
    "processes": lambda: os.listdir("/proc"),
    "the bot's environment": lambda: open(f"/proc/{BOT}/environ").read(),
    "the bot's memory": lambda: open(f"/proc/{BOT}/mem", "rb"),
    "the watcher's environment": lambda: open(f"/proc/{os.getppid()}/environ").read(),
    "writing to the tree": lambda: open(TREE + "/" + "bot/x.py", "w"),
    "writing to /tmp": lambda: open("/tmp/persais-coder-escape", "w"),
    "writing to the driver": lambda: open(__file__, "a"),
    "writing to the environment": lambda: open(sys.prefix + "/x", "w"),
    "a link in the copy": lambda: os.symlink("/etc/passwd", tree / "link.py"),
    "a pipe in the copy": lambda: os.mkfifo(tree / "pipe"),
    "signals": lambda: os.kill(BOT, 0),
}
out = []
for name, attempt in TRIES.items():
    try:
        attempt()
        out.append(name)
    except OSError:
        pass
tell("no_edits", reply=json.dumps([out, ask(told)[0]]))
"""


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A port of somebody else."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made.getsockname()[1]


async def test_a_driver_gets_nowhere_but_to_its_gateway(
    stand_in: StandIn, job: Job, tree: Path, tmp_path: Path, neighbour: int, model_server: ScriptedServer
) -> None:
    if (await stand_in.box.probe()).state != "enforced":
        pytest.skip("no sandbox on this machine")
    model_server.script(says("hello"))
    places = {
        "PORT": neighbour,
        "TREE": str(tree),
        "SCRATCH": str(tmp_path / "scratch"),
        "HOME": str(Path.home()),
        "OURS": copies.__file__,
        "BOT": os.getpid(),
    }
    known = "".join(f"{name} = {value!r}\n" for name, value in places.items())
    result = await stand_in.coder(known + TRIES).run(job())
    assert json.loads(result.reply or "null") == [[], 200], result.detail
    assert model_server.keys == [f"Bearer {KEY}"], "the key is put in on the way"


async def test_the_gateway_lets_nothing_through_but_this_run_s_completions(
    stand_in: StandIn, job: Job, model_server: ScriptedServer
) -> None:
    model_server.script(fails(401, f"Incorrect API key provided: {KEY}"))
    code = """
    told = job()
    good = {"model": told["model"], "messages": []}
    tell("no_edits", reply=json.dumps([
        ask(told, token="guessed")[0],
        ask(told, token="x" * 43)[0],
        ask(told, method="GET")[0],
        ask(told, path="/v1/models")[0],
        ask(told, path="/v1/chat/completions/../../../admin")[0],
        ask(told, good | {"model": "vendor/dearer"})[0],
        ask(told, good | {"stream": True})[0],
        ask(told, good | {"n": 50})[0],
        ask(told, [1])[0],
        ask(told, good | {"messages": "x" * (5 << 20)})[0],
        ask(told, good),
    ]))
    """
    result = await stand_in.coder(code).run(job())
    *refused, answered = json.loads(result.reply)
    assert refused == [401, 401, 405, 404, 404, 400, 400, 400, 400, 400]
    assert answered[0] == 401 and "provided: ***" in answered[1]
    assert (len(model_server.bodies), result.requests) == (1, 1)


async def test_a_call_reaches_nobody_but_the_model_of_the_job(
    stand_in: StandIn, job: Job, model_server: ScriptedServer
) -> None:
    model_server.script(says("hello"))
    code = """
    told = job()
    said = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    good = {"model": told["model"], "messages": said, "temperature": 0}
    picture = {"type": "image_url", "image_url": {"url": "http://attacker.invalid/?stolen"}}
    tell("no_edits", reply=json.dumps([
        ask(told, good | {"messages": [{"role": "user", "content": [picture]}]})[0],
        ask(told, good | {"messages": [{"role": "user", "content": picture}]})[0],
        ask(told, good | {"temperature": float("nan")})[0],
        ask(told, good | {"messages": [{"role": "user", "content": "half of \\ud83d"}]})[0],
        ask(told, good | {"plugins": [{"id": "web"}], "models": ["vendor/dearer"], "tools": [{}], "route": "x"})[0],
    ]))
    """
    result = await stand_in.coder(code).run(job())
    assert json.loads(result.reply) == [400, 400, 400, 200, 200]
    body = model_server.bodies[-1]
    assert set(body) == {"model", "messages", "temperature"}


async def test_a_secret_in_what_the_model_would_read_is_not_sent(
    stand_in: StandIn, job: Job, model_server: ScriptedServer
) -> None:
    model_server.script(says("thanks"))
    code = """
    told = job()
    body = {"model": told["model"], "messages": [{"role": "user", "content": "it is " + told["message"]}]}
    tell("llm_error", failure={"code": ask(told, body)[0]})
    """
    secret = 'a \N{SNOWMAN} "secret"!'  # looks otherwise in JSON
    result = await stand_in.coder(code).run(job(message=secret, secrets=(secret,)))
    assert (result.status, result.requests, model_server.bodies) == ("llm_error", 0, [])
    assert "secret of the bot" in result.detail


@pytest.mark.parametrize(("answer", "prices"), [(says("more", cost=0.3), None), (says("more"), (0.001, 0.02))])
async def test_no_call_goes_out_once_the_money_is_spent_however_many_are_sent_at_once(
    answer: Answer,
    prices: tuple[float, float] | None,
    stand_in: StandIn,
    job: Job,
    model_server: ScriptedServer,
) -> None:
    model_server.script(answer)
    code = r"""
    told = job()
    body = json.dumps({"model": told["model"], "messages": []})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {told['token']}\r\n"
    gateway.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() * 8)
    answers = b""
    while answers.count(b"HTTP/1.1 ") < 8: answers += gateway.recv(65536)
    tell("malformed")
    """
    result = await stand_in.coder(code).run(job(max_cost=0.5, prices=prices))
    assert (len(model_server.bodies), result.requests) == (2, 2)
    assert result.status == "cost_limit" and result.cost == pytest.approx(0.6)
    assert "$0.50" in result.detail


async def test_where_nobody_knows_what_a_call_costs_their_number_is_bounded(
    stand_in: StandIn, job: Job, model_server: ScriptedServer
) -> None:
    model_server.script(says("more", cost=-5.0))
    code = "told = job()\nwhile ask(told)[0] == 200: pass\ntell('llm_error', failure={'code': 403})"
    result = await stand_in.coder(code).run(job(max_cost=0.5))
    assert (result.requests, result.cost, result.tokens_in) == (40, 0.0, 4000)
    assert "more calls than any change needs" in result.detail


async def test_a_server_that_is_away_is_named(stand_in: StandIn, job: Job, neighbour: int) -> None:
    code = "told = job(); tell('llm_error', failure={'code': ask(told)[0]})"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        result = await stand_in.coder(code).run(job(base_url=f"http://{host}/v1"))
    assert f"{host} could not be reached" in result.detail


@pytest.mark.parametrize(
    ("deed", "denied"),
    [
        (f"(tree / {OTHER!r}).write_text('EVIL = 1')", OTHER),
        ("(tree / 'bot/main.py').write_text('EVIL = 1')", "bot/main.py"),
        ("(tree / '.git').write_text('gitdir: evil')", ".git"),
        (f"(tree / {OTHER!r}).unlink()", OTHER),
        (f"(tree / {ECHO!r}).write_bytes(b'#' * (2 << 20))", ECHO),
        (f"(tree / {ECHO!r}).write_bytes(bytes([0xff]))", ECHO),
        ("(tree / 'tests/agents').mkdir(parents=True); (tree / 'tests/agents/test_old.py').write_text('')",
         "tests/agents/test_old.py"),
    ],
)  # fmt: skip
async def test_an_edit_beyond_the_list_undoes_the_whole_run(
    deed: str, denied: str, stand_in: StandIn, job: Job, tree: Path
) -> None:
    (tree / "tests" / "agents").mkdir(parents=True)
    (tree / "tests" / "agents" / "test_old.py").write_text("OLD = 1\n")
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    code = f"tree = lay_out(job()); (tree / {ECHO!r}).write_text('GOOD = 1'); {deed}; tell()"
    result = await stand_in.coder(code).run(job())
    assert (result.status, result.denied, result.edited) == ("denied", (denied,), ())
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


async def test_allowed_edits_come_back_with_the_modes_of_the_tree(stand_in: StandIn, job: Job, tree: Path) -> None:
    (tree / ECHO).chmod(0o640)
    code = f"""
    tree = lay_out(job())
    (tree / {ECHO!r}).write_text('GOOD = 1')
    (tree / 'tests/agents').mkdir(parents=True)
    (tree / 'tests/agents/test_echo.py').write_text('NEW = 1')
    tell(denied=["bot/main.py"])
    """
    result = await stand_in.coder(code).run(job())
    assert (result.status, result.denied) == ("edited", ("bot/main.py",))
    assert result.edited == (ECHO, "tests/agents/test_echo.py")
    assert (tree / ECHO).read_text() == "GOOD = 1"
    assert (tree / ECHO).stat().st_mode & 0o777 == 0o640
    assert (tree / "tests/agents/test_echo.py").stat().st_mode & 0o777 == 0o644


async def test_a_run_that_did_not_end_well_leaves_the_tree_alone(stand_in: StandIn, job: Job, tree: Path) -> None:
    for end in ("tell('malformed')", "sys.exit(1)"):
        code = f"told = job(); tree = lay_out(told); (tree / {ECHO!r}).write_text('HALF'); {end}"
        result = await stand_in.coder(code).run(job())
        assert result.status != "edited" and result.edited == ()
        assert (tree / ECHO).read_text() == "def answer(text):\n    return text\n"


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "twin", "deep", "many"])
def test_what_is_no_plain_file_is_not_taken_back(kind: str, job: Job, tree: Path, tmp_path: Path) -> None:
    """Planted by hand: between the walls most of these cannot be made at all."""
    given = copies.gather(job())
    copy = tmp_path / "copy"
    for name, text in given.files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    place = copy / "tests" / "agents" / "test_x.py"
    place.parent.mkdir(parents=True)
    match kind:
        case "link":
            place.symlink_to("/etc/passwd")
        case "folder link":
            place.parent.rmdir()
            place.parent.symlink_to("/etc")
        case "pipe":
            os.mkfifo(place)
        case "twin":
            place.hardlink_to(copy / ECHO)
        case "deep":  # paths longer than the system lets one name
            here = os.open(place.parent, os.O_RDONLY)
            for _ in range(20):
                os.mkdir("d" * 250, dir_fd=here)
                deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = deeper
            os.close(here)
        case "many":
            for number in range(copies.MAX_ENTRIES):
                (place.parent / f"d{number}").mkdir()
    taken = copies.take_back(copy, given, job())
    subprocess.run(["rm", "-rf", copy], check=True)  # pytest cannot clear away what is this deep
    assert taken.edited == () and taken.denied
    assert not (tree / "tests").exists()
