# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policy allows each node what its code creates, and nothing else."""

import ast
import itertools
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = ROOT / "src" / "geoloc_ros" / "ros"
POLICY = ROOT / "config" / "security" / "geoloc.policy.xml"
ENTRY = {"geoloc_localizer": "localizer", "geoloc_vlm": "vlm_node"}

#: called functions that make something of the name in their second argument
MAKERS = {
    "create_publisher": {"publish"},
    "create_lifecycle_publisher": {"publish"},
    "create": {"publish"},
    "create_subscription": {"subscribe"},
    "_subscribe": {"subscribe"},
    "create_service": {"reply"},
    "_offer": {"reply"},
    "create_client": {"request"},
    "Bond": {"publish", "subscribe"},
}
LIFECYCLE = (
    "change_state",
    "get_state",
    "get_available_states",
    "get_available_transitions",
    "get_transition_graph",
)
PARAMETERS = (
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
)
#: what ROS gives every lifecycle node
OF_ROS = {
    *(("publish", name) for name in ("/rosout", "/parameter_events", "~/transition_event")),
    ("subscribe", "/clock"),
    *(("reply", f"~/{name}") for name in (*LIFECYCLE, *PARAMETERS, "get_type_description")),
}
#: the same without simulated time, and on Humble
OF_EVERY_ROS = OF_ROS - {("subscribe", "/clock"), ("reply", "~/get_type_description")}


# -- the policy -----------------------------------------------------------------------------------


def _profile(enclave: str) -> ET.Element:
    found = ET.parse(POLICY).find(f".//enclave[@path='{enclave}']/profiles/profile")
    assert found is not None
    return found


def _allowed(enclave: str) -> set[tuple[str, str]]:
    return {
        (verb, item.text or "")
        for rule in _profile(enclave)
        for verb, word in rule.attrib.items()
        for item in rule
        if word == "ALLOW"
    }


def _absolute(name: str, node: str) -> str:
    return name.replace("~", f"/{node}", 1) if name[0] in "~/" else f"/{name}"


# -- the code -------------------------------------------------------------------------------------


class Source:
    """One module of the nodes."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text())
        self.functions = {n.name: n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef)}
        self.imported = {
            alias.asname or alias.name: node.module.removeprefix("geoloc_ros.ros.")
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("geoloc_ros.ros.")
            for alias in node.names
        }

    def created(self) -> Iterator[tuple[str, str]]:
        """Verb and name of every topic and service."""
        for scope in (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef)):
            for call in _own_calls(scope):
                for verb in MAKERS.get(_called(call), ()):
                    yield from ((verb, name) for name in self.names(call.args[1], scope))

    def names(self, value: ast.expr, scope: ast.FunctionDef) -> set[str]:
        """Every text an expression can be; '*' where a parameter of a function stands."""
        match value:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.JoinedStr(values=parts):
                options = [self.names(part, scope) or {"*"} for part in parts]
                return {"".join(texts) for texts in itertools.product(*options)}
            case ast.FormattedValue(value=inner):
                return self.names(inner, scope)
            case ast.IfExp(body=body, orelse=orelse):
                return self.names(body, scope) | self.names(orelse, scope)
            case ast.Name(id=name):
                if name in _parameters(scope):
                    return set()  # a function that passes it on: its callers are looked at
                return set().union(*(self.names(v, s) for v, s in self._assigned(name, scope)))
        raise AssertionError(f"cannot tell what {ast.unparse(value)} is in {scope.name}")

    def _assigned(
        self, name: str, scope: ast.FunctionDef
    ) -> list[tuple[ast.expr, ast.FunctionDef]]:
        found: list[tuple[ast.expr, ast.FunctionDef]] = []
        for node in (*ast.walk(scope), *self.tree.body):
            if not isinstance(node, ast.Assign):
                continue
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    found.append((node.value, scope))
                elif isinstance(target, ast.Tuple):
                    for i, item in enumerate(target.elts):
                        if isinstance(item, ast.Name) and item.id == name:
                            found += self._returned(node.value, i)
        assert found, f"cannot tell what {name} is in {scope.name}"
        return found

    def _returned(self, call: ast.expr, index: int) -> list[tuple[ast.expr, ast.FunctionDef]]:
        """What a function of the nodes answers at a place of its tuple."""
        assert isinstance(call, ast.Call), ast.unparse(call)
        name = _called(call)
        source = source_of(self.imported[name]) if name in self.imported else self
        function = source.functions[name]
        tuples = [
            item
            for node in ast.walk(function)
            if isinstance(node, ast.Return)
            for item in ast.walk(node)
            if isinstance(item, ast.Tuple)
        ]
        assert tuples, f"{name} answers no tuple"
        return [(item.elts[index], function) for item in tuples]


@cache
def source_of(module: str) -> Source:
    return Source(NODES / f"{module}.py")


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _own_calls(scope: ast.FunctionDef) -> Iterator[ast.Call]:
    """Calls in a function, not those in functions inside it."""
    waiting: list[ast.AST] = list(scope.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


def _parameters(scope: ast.FunctionDef) -> set[str]:
    return {a.arg for a in (*scope.args.args, *scope.args.kwonlyargs)}


def _modules(entry: str) -> set[str]:
    """The modules whose classes a node is put together from."""
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            imported = source_of(module).imported
            waiting += [where for name, where in imported.items() if name[0].isupper()]
    return found


def _of_code(node: str) -> set[tuple[str, str]]:
    created = {pair for module in _modules(ENTRY[node]) for pair in source_of(module).created()}
    # named cameras are for the user to add
    return {(verb, name) for verb, name in created if not name.startswith("*")}


def _remapped() -> set[str]:
    """Names that the launch files put in the place of others."""
    pairs = (
        [item.value for item in node.elts if isinstance(item, ast.Constant)]
        for node in ast.walk(source_of("launching").tree)
        if isinstance(node, ast.Tuple) and len(node.elts) == 2
    )
    return {pair[1] for pair in pairs if len(pair) == 2}


# -- the tests ------------------------------------------------------------------------------------


def test_the_code_is_read() -> None:
    assert _modules("localizer") >= {"inputs", "outputs", "services", "diagnostics", "bond"}
    assert "outputs" not in _modules("vlm_node")
    found = _of_code("geoloc_localizer")
    assert {("subscribe", "image/compressed"), ("publish", "/diagnostics")} <= found
    assert {("reply", "~/to_ll"), ("publish", "bond"), ("subscribe", "bond")} <= found


def test_topics_are_made_by_known_calls_only() -> None:
    unread = ("tf2_ros", "message_filters", "diagnostic_updater", "rclpy.action")
    for path in NODES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [alias.name for alias in node.names]
                names.append(getattr(node, "module", None) or "")
                assert not {n for n in names if n.startswith(unread)}, path


@pytest.mark.parametrize("node", sorted(ENTRY))
def test_all_that_a_node_creates_is_allowed(node: str) -> None:
    assert (_of_code(node) | OF_ROS) - _allowed(f"/{node}") == set()


@pytest.mark.parametrize("node", sorted(ENTRY))
def test_nothing_else_is_allowed(node: str) -> None:
    extra = _allowed(f"/{node}") - _of_code(node) - OF_ROS
    assert {pair for pair in extra if pair[1] not in _remapped()} == set()


def test_what_the_others_hear_and_ask_exists() -> None:
    said = {
        (verb, _absolute(name, node)) for node in ENTRY for verb, name in _of_code(node) | OF_ROS
    }
    answers = {"subscribe": "publish", "request": "reply"}
    for enclave in ("/geoloc_healthcheck", "/"):
        for verb, name in _allowed(enclave):
            if verb in answers:
                assert (answers[verb], _absolute(name, "")) in said, (enclave, name)


def test_each_profile_is_that_of_its_enclave() -> None:
    for node in (*ENTRY, "geoloc_healthcheck"):
        assert _profile(f"/{node}").attrib == {"ns": "/", "node": node}


def test_launch_files_start_each_node_in_its_enclave() -> None:
    assert '"--enclave", f"/{name}"' in (NODES / "launching.py").read_text()


def test_no_rule_is_a_wildcard() -> None:
    for item in ET.parse(POLICY).iter():
        assert "*" not in (item.text or "")


@pytest.mark.ros
def test_sros2_accepts_the_policy() -> None:
    pytest.importorskip("sros2.policy").load_policy(POLICY)


_LIST = """
import json, time
import rclpy
from {module} import {name}
rclpy.init()
node = {name}()
time.sleep(1.0)  # until it has discovered itself
own = (node.get_name(), node.get_namespace())
print(json.dumps([
    *(["publish", n] for n, _ in node.get_publisher_names_and_types_by_node(*own)),
    *(["subscribe", n] for n, _ in node.get_subscriber_names_and_types_by_node(*own)),
    *(["reply", n] for n, _ in node.get_service_names_and_types_by_node(*own)),
    *(["request", n] for n, _ in node.get_client_names_and_types_by_node(*own)),
]))
"""


@pytest.mark.ros
@pytest.mark.parametrize(
    ("node", "name"), [("geoloc_localizer", "Localizer"), ("geoloc_vlm", "Vlm")]
)
def test_all_that_ros_gives_a_node_is_allowed(node: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    code = _LIST.format(module=f"geoloc_ros.ros.{ENTRY[node]}", name=name)
    environment = os.environ | {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    found = {(verb, topic) for verb, topic in json.loads(done.stdout.splitlines()[-1])}
    assert {(verb, _absolute(topic, node)) for verb, topic in OF_EVERY_ROS} <= found
    allowed = {(verb, _absolute(topic, node)) for verb, topic in _allowed(f"/{node}")}
    assert found - allowed == set()
