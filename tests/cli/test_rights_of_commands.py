"""By somebody's token, each command does what their rights allow: none is open because nobody thought of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from commands import all_commands

USERS_PAGE: Final = Path(__file__).parents[2] / "docs" / "users.md"
POLICIES = """\
roles:
  operator: {grants: [{run: '*'}, {publish: '*'}, {quarantine: '*'}, {audit: '*'}, {approve: '*'}, {export: '*'}]}
  reader: {grants: [{select: '*'}]}
  some: {grants: [{run: 'marts.*'}, {publish: marts.revenue}, {publish: grouped.a}]}
  keeper: {grants: [{admin: marts.revenue}]}
  keepers: {grants: [{admin: '*'}]}
groups:
  operators: {roles: [operator], members: [op]}
  readers: {roles: [reader], members: [rita]}
  somes: {roles: [some], members: [sam]}
  keepers: {roles: [keeper], members: [kim]}
  all_keepers: {roles: [keepers], members: [kay]}
"""
GROUPED = "-- headwater\n-- publish_group: both\nSELECT 1 AS n\n"
MODELS = ("models/grouped/a.sql", "models/grouped/b.sql")
EXPORT = "exports: {countries: {table: marts.countries, as: op, key: [country], to: {files: {path: out}}}}\n"

#: How each command is called, and what it says to somebody without any right: `refused`, `nothing` (an empty answer), `all` (it is nobody's secret).
CALLS: Final[dict[str, tuple[list[str], str]]] = {
    "init": (["elsewhere"], "all"),
    "schema": ([], "all"),
    "version": ([], "all"),
    "ls": (["--json"], "nothing"),
    "lint": ([], "refused"),
    "lineage": (["marts.revenue"], "refused"),
    "show": (["marts.revenue"], "refused"),
    "compile": (["marts.revenue"], "refused"),
    "check": ([], "refused"),
    "test": ([], "refused"),
    "run": ([], "refused"),
    "retry": ([], "nothing"),
    "reload": (["shop.orders"], "refused"),
    "status": (["--json"], "nothing"),
    "history": ([], "refused"),
    "logs": (["{run}"], "refused"),
    "doctor": ([], "refused"),
    "query": (["SELECT country FROM marts.revenue"], "refused"),
    "snapshots": (["marts.revenue"], "refused"),
    "diff": (["marts.revenue", "--from", "{snapshot}"], "refused"),
    "maintain": ([], "refused"),
    "backup": (["copy"], "refused"),
    "restore": (["copy"], "refused"),
    "publish": (["marts.revenue"], "refused"),
    "rollback": (["marts.revenue"], "refused"),
    "discard": (["marts.revenue"], "refused"),
    "labels": (["marts.revenue"], "refused"),
    "detokenize": (["tok_1_000000_AAAA", "--purpose", "x"], "refused"),
    "serve": (["--pg-port", "0", "--flight-port", "0", "--http-port", "0"], "refused"),
    "source list": ([], "refused"),
    "source discover": (["shop"], "refused"),
    "source check": (["shop"], "refused"),
    "quarantine list": (["--json"], "nothing"),
    "quarantine show": (["0"], "refused"),
    "quarantine replay": (["shop.orders"], "refused"),
    "quarantine drop": (["shop.orders"], "refused"),
    "user add": (["zoe"], "refused"),
    "user list": ([], "refused"),
    "user passwd": (["sam"], "refused"),
    "user disable": (["op"], "refused"),
    "user enable": (["op"], "refused"),
    "user token": (["op"], "refused"),
    "user tokens": ([], "refused"),
    "user revoke": (["000000000000"], "refused"),
    "access explain": (["op", "marts.revenue"], "refused"),
    "access request": (["marts.revenue", "--until", "1h", "--reason", "x", "--json"], "all"),
    "access approve": (["{request}"], "refused"),
    "access revoke": (["{request}"], "refused"),
    "access list": (["--json"], "all"),
    "access review": ([], "refused"),
    "audit list": ([], "refused"),
    "audit verify": ([], "refused"),
    "audit anchor": ([], "refused"),
    "keys list": ([], "refused"),
    "keys init": ([], "refused"),
    "keys rotate": ([], "refused"),
    "secrets set": (["name"], "refused"),
    "secrets list": ([], "refused"),
    "secrets rm": (["name"], "refused"),
    "export list": (["--json"], "nothing"),
    "export check": (["countries"], "refused"),
    "export run": (["countries"], "refused"),
    "export status": (["countries"], "refused"),
    "export dead list": (["countries"], "refused"),
    "export dead retry": (["countries"], "refused"),
    "export dead drop": (["countries"], "refused"),
}
REFUSED = re.compile(r"may not|can't (run|read|approve|be turned back)|there is no table|no row waits")


@pytest.fixture(scope="module")
def guarded(lasting_shop: Callable[..., Path], hw: Any) -> tuple[Path, dict[str, str]]:
    """The shop with its users, their tokens by name, the id of a request that waits as `request`, a snapshot, and the owner's run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headwater.security.passwords.Cost.__init__.__defaults__", (1, 64, 1))
        folder = lasting_shop({"policies/p.yaml": POLICIES, "exports/countries.yaml": EXPORT, **dict.fromkeys(MODELS, GROUPED)})
        hw(folder, "run")
        made = {}
        for name in ("nobody", "op", "rita", "sam", "kim", "kay", "boss"):
            hw(folder, "user", "add", name, "--oidc", *(["--admin"] if name == "boss" else []))
            made[name] = hw(folder, "user", "token", name).out.strip()
    made["request"] = hw(folder, "access", "request", "marts.revenue", "--user", "rita", "--until", "8h", "--reason", "x").out.strip()
    made["snapshot"] = str(hw(folder, "snapshots", "marts.revenue", "--json").json[0]["snapshot_id"])
    made["run"] = hw(folder, "history", "--json").json[0]["run_id"]
    return folder, made


def declared() -> dict[str, str]:
    """The rights that docs/users.md gives for each command."""
    found = {}
    for line in USERS_PAGE.read_text().split("## Rights of commands")[1].split("\n## ")[0].splitlines():
        if line.startswith("| `"):
            names, right = (cell.strip() for cell in line.strip("|").split("|"))
            for name in re.findall(r"`([^`]+)`", names):
                assert name not in found, f"{name} stands there twice"
                found[name] = right
    return found


def test_every_command_has_a_right_that_is_written_down() -> None:
    names = {" ".join(name) for name in all_commands()}
    assert set(declared()) == names
    assert set(CALLS) == names


@pytest.mark.parametrize("name", CALLS)
def test_who_has_no_right_is_told_and_changes_nothing(guarded: tuple[Path, dict[str, str]], hw: Any, name: str) -> None:
    folder, tokens = guarded
    arguments, says = CALLS[name]
    given = [argument.format(**tokens) for argument in arguments]
    done = hw(folder, *name.split(), *given, env={"HEADWATER_TOKEN": tokens["nobody"]}, input="x\n", expect=None)
    if says == "refused":
        assert done.code != 0
        assert REFUSED.search(done.err), done.err
        assert "NO" not in done.out
        assert "marts" not in done.out
    else:
        assert done.code == 0, done.err
        assert says == "all" or done.out.strip() in ("", "[]")


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("serve", "detokenize")])  # these are tested where doors and tokens are
def test_who_has_the_right_is_not_refused(guarded: tuple[Path, dict[str, str]], hw: Any, name: str) -> None:
    folder, tokens = guarded
    right = declared()[name]
    caller = "boss" if "administrator" in right else "rita" if "`select`" in right else "op"
    given = [argument.format(**tokens) for argument in CALLS[name][0]]
    if name == "init":
        given = ["another"]
    done = hw(folder, *name.split(), *given, env={"HEADWATER_TOKEN": tokens[caller]}, input="x\n", expect=None)
    assert not REFUSED.search(done.err.replace("no row waits", "")), done.err


@pytest.mark.parametrize("name", [name for name, right in declared().items() if "administrator" in right and name != "serve"])
def test_what_takes_an_administrator_is_closed_to_every_other_right(guarded: tuple[Path, dict[str, str]], hw: Any, name: str) -> None:
    folder, tokens = guarded
    given = [argument.format(**tokens) for argument in CALLS[name][0]]
    done = hw(folder, *name.split(), *given, env={"HEADWATER_TOKEN": tokens["op"]}, input="x\n", expect=None)
    assert done.code == 1
    assert "op may not" in done.err
    assert "administrator" in done.err


def test_rights_on_some_tables_show_these(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    env = {"HEADWATER_TOKEN": tokens["sam"]}
    marts = ["marts.best_day", "marts.countries", "marts.revenue"]
    assert sorted(one["table"] for one in hw(folder, "ls", "--json", env=env).json) == marts
    assert sorted(one["table"] for one in hw(folder, "status", "--json", env=env, expect=None).json) == marts
    assert "'EUR'" in hw(folder, "compile", "marts.revenue", env=env).out
    assert "sam may not run" in hw(folder, "lineage", "marts.revenue", env=env, expect=1).err
    hw(folder, "lineage", "marts.best_day", "--downstream", env=env)
    assert "sam may not run" in hw(folder, "logs", "latest", env=env, expect=1).err
    hw(folder, "snapshots", "marts.revenue", env=env)
    assert "sam may not publish" in hw(folder, "snapshots", "marts.countries", env=env, expect=1).err
    run = hw(folder, "run", "marts.countries", "--full-refresh", "--json", env=env).json["run_id"]
    assert "marts.countries" in hw(folder, "logs", run, env=env).out
    assert "sam may not run" in hw(folder, "history", env=env, expect=1).err


def test_who_began_a_run_reads_what_became_of_it_and_nobody_else_without_the_right(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    env = {name: {"HEADWATER_TOKEN": token} for name, token in tokens.items()}
    narrow = {"HEADWATER_TOKEN": hw(folder, "user", "token", "sam", "--scope", "select").out.strip()}
    whole = {"HEADWATER_TOKEN": hw(folder, "user", "token", "sam", "--scope", "run").out.strip()}
    runs = []
    for command in (["retry"], ["run", "marts.revenue", "--full-refresh"], ["rollback", "marts.revenue"], ["publish", "marts.revenue"]):
        hw(folder, *command, env=env["sam"])
        runs.append(hw(folder, "history", "latest", "--json").json)
    assert [(one["command"], one["principal"]) for one in runs] == [(name, "sam") for name in ("retry", "run", "rollback", "publish")]
    assert runs[0]["tasks"] == []
    for run in (one["run_id"] for one in runs):
        for caller in (env["sam"], whole):
            assert "by sam" in hw(folder, "history", run, env=caller).out
            assert "run_started" in hw(folder, "logs", run, env=caller).out
        for command in ("history", "logs"):
            for caller in (env["rita"], env["kim"]):
                refused = hw(folder, command, run, env=caller, expect=1).err
                assert "may not run" in refused
                assert "or who began that run" in refused
            hw(folder, command, run, env=env["op"])
    for command in ("history", "logs"):
        assert "sam may not run" in hw(folder, command, runs[0]["run_id"], env=narrow, expect=1).err
    told = [row["record"] for row in hw(folder, "audit", "list", "--json", "--user", "sam", "--action", "look", "--limit", "2").json]
    assert [(one["sql"], one["decision"]) for one in told] == [("history", "refused"), ("logs", "refused")]


def test_what_git_calls_somebody_makes_no_run_theirs(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    named = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "rita"}
    hw(folder, "retry", env=named)
    run = hw(folder, "history", "latest", "--json").json
    assert (run["author"], run["principal"], run["tasks"]) == ("rita", "owner", [])
    assert "rita may not run" in hw(folder, "logs", run["run_id"], env={"HEADWATER_TOKEN": tokens["rita"]}, expect=1).err


def test_an_export_is_a_run_of_who_ran_it(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    for name, principal in (("op", "op"), ("boss", "boss"), (None, "owner")):
        hw(folder, "export", "run", "countries", env={"HEADWATER_TOKEN": tokens[name]} if name else {})
        run = hw(folder, "history", "latest", "--json").json
        assert (run["command"], run["principal"]) == ("export", principal)
        assert f"by {principal}" in hw(folder, "history", "latest").out


def test_tables_that_are_published_together_take_a_right_on_each(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    for model in MODELS:
        (folder / model).write_text(GROUPED.replace("1", "2"))
    hw(folder, "run", "grouped.*")
    hw(folder, "rollback", "grouped.*")
    refused = hw(folder, "publish", "grouped.a", env={"HEADWATER_TOKEN": tokens["sam"]}, expect=1).err
    assert "sam may not publish grouped.b" in refused
    assert hw(folder, "query", "SELECT n FROM grouped.a", "--json").json == [{"n": 1}]
    hw(folder, "publish", "grouped.a", env={"HEADWATER_TOKEN": tokens["op"]})
    assert hw(folder, "query", "SELECT n FROM grouped.b", "--json").json == [{"n": 2}]


def test_admin_of_some_tables_decides_about_access_to_these_and_sees_who_has_it(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    kim, kay = ({"HEADWATER_TOKEN": tokens[name]} for name in ("kim", "kay"))
    asked = [
        hw(folder, "access", "request", table, "--user", user, "--until", "8h", "--reason", "x").out.strip()
        for table, user in (("marts.revenue", "rita"), ("marts.countries", "rita"), ("marts.revenue", "kim"))
    ]
    shown = {one["id"] for one in hw(folder, "access", "list", "--json", env=kim).json}
    assert asked[0] in shown
    assert asked[1] not in shown
    hw(folder, "access", "approve", asked[0], env=kim)
    hw(folder, "access", "revoke", asked[0], env=kim)
    assert "can't approve access to marts.countries" in hw(folder, "access", "approve", asked[1], env=kim, expect=1).err
    assert "nobody approves their own access" in hw(folder, "access", "approve", asked[2], env=kim, expect=1).err
    hw(folder, "access", "approve", asked[2], env=kay)
    hw(folder, "access", "explain", "sam", "marts.revenue", "--action", "publish", env=kim)
    hw(folder, "labels", "marts.revenue", env=kim)
    assert "kim may not see who may do what with marts.countries" in hw(folder, "labels", "marts.countries", env=kim, expect=1).err
    assert "kim may not review access" in hw(folder, "access", "review", env=kim, expect=1).err
    hw(folder, "access", "review", env=kay)
    for closed in (["user", "list"], ["user", "add", "zoe"], ["keys", "list"], ["maintain"], ["audit", "anchor"]):
        assert "kay may not" in hw(folder, *closed, env=kay, expect=1).err
    assert "there is no table" in hw(folder, "query", "SELECT country FROM marts.revenue", env=kay, expect=2).err


def test_what_was_refused_and_what_administrators_did_is_audited(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    hw(folder, "maintain", "--dry-run", env={"HEADWATER_TOKEN": tokens["op"]}, expect=1)
    hw(folder, "maintain", "--dry-run", env={"HEADWATER_TOKEN": tokens["boss"]})
    hw(folder, "compile", "marts.revenue", env={"HEADWATER_TOKEN": tokens["rita"]}, expect=1)
    told = [row["record"] for row in hw(folder, "audit", "list", "--json", "--limit", "10").json if row["record"]["action"] != "login"]
    assert [(one["principal"], one["action"], one["decision"], one["sql"], one["tables"]) for one in told][-3:] == [
        ("op", "admin", "refused", "tidy the lake", []),
        ("boss", "admin", "allowed", "tidy the lake", []),
        ("rita", "look", "refused", "compile", ["marts.revenue"]),
    ]


def test_a_token_that_administers_nothing_is_told_so(guarded: tuple[Path, dict[str, str]], hw: Callable[..., Any]) -> None:
    folder, _ = guarded
    narrow = hw(folder, "user", "token", "boss", "--scope", "select").out.strip()
    assert "a token that is good for `admin`" in hw(folder, "maintain", env={"HEADWATER_TOKEN": narrow}, expect=1).err


def test_the_audit_names_who_ran_an_export_beside_its_principal(guarded: tuple[Path, dict[str, str]], hw: Callable[..., Any]) -> None:
    folder, tokens = guarded
    hw(folder, "export", "run", "countries", env={"HEADWATER_TOKEN": tokens["boss"]})
    told = [row["record"] for row in hw(folder, "audit", "list", "--json", "--action", "export", "--user", "boss").json]
    assert {(one["principal"], one["asked_by"]) for one in told} == {("op", "boss")}


def test_a_run_takes_a_right_on_all_that_it_writes(make_shop: Callable[..., Path], hw: Callable[..., Any]) -> None:
    model = "-- headwater\n-- kind: {{incremental: {{time_column: day}}}}\nSELECT DATE '2024-01-01' AS day, {} AS n\n"
    rules = "roles: {some: {grants: [{run: marts.inc}]}, all: {grants: [{run: [marts.*, shop.*, staging.*]}]}}\n"
    rules += "groups: {s: {roles: [some], members: [sam]}, a: {roles: [all], members: [alf]}}\n"
    secret = {"models/marts/secret.sql": "SELECT n FROM marts.inc\n", "models/old/gone.sql": "SELECT 1 AS n\n"}
    folder = make_shop({"policies/p.yaml": rules, "models/marts/inc.sql": model.format(1), **secret})
    hw(folder, "run")
    env = {}
    for name in ("sam", "alf"):
        hw(folder, "user", "add", name, "--oidc")
        env[name] = {"HEADWATER_TOKEN": hw(folder, "user", "token", name).out.strip()}
    (folder / "models/old/gone.sql").unlink()
    hw(folder, "run", "marts.inc", env=env["sam"])
    assert "sam may not run marts.secret" in hw(folder, "run", "marts.inc", "--from", "2020-01-01", env=env["sam"], expect=1).err
    refused = hw(folder, "audit", "list", "--user", "sam", "--decision", "refused", "--json").json[-1]["record"]
    assert refused["tables"] == ["marts.inc", "marts.secret"]
    hw(folder, "run", "marts.inc", "--from", "2020-01-01", env=env["alf"])
    assert "alf may not run old.gone" in hw(folder, "run", env=env["alf"], expect=1).err
    assert hw(folder, "query", "SELECT n FROM old.gone", "--json").json == [{"n": 1}]
    hw(folder, "run")
    hw(folder, "run", env=env["alf"])


def test_a_review_knows_who_decided_about_access_and_who_read_the_audit(make_shop: Callable[..., Path], hw: Callable[..., Any]) -> None:
    grants = {"cat": "admin: shop.orders", "dan": "audit: '*'", "dee": "audit: '*'", "eve": "admin: '*'", "fay": "approve: '*'", "idle": "admin: '*'"}
    rules = "roles: {" + ", ".join(f"{name}: {{grants: [{{{grant}}}]}}" for name, grant in grants.items()) + "}\n"
    rules += "groups: {" + ", ".join(f"{name}s: {{roles: [{name}], members: [{name}]}}" for name in grants) + "}\n"
    folder = make_shop({"policies/p.yaml": rules})
    hw(folder, "run")
    env = {}
    for name in (*grants, "ada"):
        hw(folder, "user", "add", name, "--oidc")
        env[name] = {"HEADWATER_TOKEN": hw(folder, "user", "token", name).out.strip()}
    asked = [hw(folder, "access", "request", "shop.orders", "--until", "8h", "--reason", "x", env=env["ada"]).out.strip() for _ in range(2)]
    hw(folder, "access", "approve", asked[0], env=env["cat"])
    hw(folder, "access", "revoke", asked[1], env=env["fay"])
    hw(folder, "audit", "list", env=env["dan"])
    hw(folder, "query", "SELECT count(*) FROM headwater.audit", env=env["dee"])
    assert "ada can't read the audit" in hw(folder, "audit", "list", env=env["ada"], expect=1).err
    found = hw(folder, "access", "review", "--json", env=env["eve"]).json
    said = [(one["where"], one["right"], one["instead"]) for one in found["unused"]]
    assert said == [
        ("role fay", "approve *.*", "approve shop.orders"),
        ("role idle", "admin *.*", None),
        ("group idles", "idle", None),
    ]
    told = [row["record"] for row in hw(folder, "audit", "list", "--json").json]
    rows = {(one["principal"], one["action"], one["decision"], one["sql"]) for one in told}
    assert rows >= {("dan", "audit", "allowed", "list"), ("ada", "audit", "refused", "list"), ("eve", "admin", "allowed", "review access")}


def test_the_audit_says_which_command_it_was_and_looking_is_no_use_of_the_right_to_do(make_shop: Callable[..., Path], hw: Callable[..., Any]) -> None:
    rules = "roles: {r: {grants: [{run: '*'}, {publish: '*'}]}}\ngroups: {g: {roles: [r], members: [ada]}}\n"
    folder = make_shop({"policies/p.yaml": rules})
    hw(folder, "run")
    hw(folder, "user", "add", "ada", "--oidc")
    ada = {"HEADWATER_TOKEN": hw(folder, "user", "token", "ada").out.strip()}
    looks = (["ls"], ["lint"], ["lineage", "marts.revenue"], ["compile", "marts.revenue"], ["status"], ["history"], ["logs", "latest"])
    for look in (*looks, ["snapshots", "marts.revenue"]):
        hw(folder, *look, env=ada, expect=None)
    told = [row["record"] for row in hw(folder, "audit", "list", "--json", "--user", "ada").json if row["record"]["action"] != "login"]
    names = ["ls", "lint", "lineage", "compile", "status", "history", "logs", "snapshots"]
    assert [(one["action"], one["decision"], one["sql"]) for one in told] == [("look", "allowed", name) for name in names]
    found = hw(folder, "access", "review", "--json").json
    assert [one["right"] for one in found["unused"]] == ["run *.*", "publish *.*", "ada"]
    for done in (["run", "marts.countries"], ["rollback", "marts.revenue"], ["publish", "marts.revenue"]):
        hw(folder, *done, env=ada, expect=None)
    told = [row["record"] for row in hw(folder, "audit", "list", "--json", "--user", "ada").json if row["record"]["action"] in ("run", "publish")]
    assert {(one["action"], one["sql"]) for one in told} == {("run", "run"), ("publish", "rollback"), ("publish", "publish")}
    found = hw(folder, "access", "review", "--json").json
    assert [one["instead"] for one in found["unused"]] == ["run marts.countries", "publish marts.revenue"]


def test_refusals_and_looks_at_users_have_rows(guarded: tuple[Path, dict[str, str]], hw: Callable[..., Any]) -> None:
    folder, tokens = guarded
    rita, boss = ({"HEADWATER_TOKEN": tokens[name]} for name in ("rita", "boss"))
    asked = hw(folder, "access", "request", "marts.best_day", "--user", "sam", "--until", "8h", "--reason", "x").out.strip()
    for refused in (["access", "approve", asked], ["access", "revoke", asked], ["audit", "verify"], ["query", "SELECT 1", "--as", "op"]):
        hw(folder, *refused, env=rita, expect=None)
    for shown in (["user", "list"], ["user", "tokens"]):
        hw(folder, *shown, env=boss)
    told = [row["record"] for row in hw(folder, "audit", "list", "--json", "--limit", "20").json if row["record"]["action"] != "login"]
    assert [(one["principal"], one["action"], one["decision"], one["sql"], one["tables"]) for one in told][-6:] == [
        ("rita", "approve", "refused", f"{asked} for sam", ["marts.best_day"]),
        ("rita", "revoke", "refused", f"{asked} for sam", ["marts.best_day"]),
        ("rita", "audit", "refused", "verify", []),
        ("rita", "select", "refused", "ask as op", []),
        ("boss", "admin", "allowed", "user list", []),
        ("boss", "admin", "allowed", "user tokens", []),
    ]


def test_a_list_of_exports_makes_no_lake(make_shop: Callable[..., Path], hw: Any) -> None:
    folder = make_shop({"policies/p.yaml": POLICIES, "exports/countries.yaml": EXPORT})
    before = {path.name for path in folder.iterdir()}
    hw(folder, "user", "add", "op", "--oidc")
    token = hw(folder, "user", "token", "op").out.strip()
    beside = {path.name for path in folder.iterdir()} - before
    assert [one["name"] for one in hw(folder, "export", "list", "--json", env={"HEADWATER_TOKEN": token}).json] == ["countries"]
    hw(folder, "export", "list", env={"HEADWATER_TOKEN": "hw_nobody_0"}, expect=None)
    assert {path.name for path in folder.iterdir()} - before == beside
    assert not list(folder.rglob("*lake*.sqlite"))


def test_who_is_refused_an_export_stands_in_the_audit(guarded: tuple[Path, dict[str, str]], hw: Any) -> None:
    folder, tokens = guarded
    hw(folder, "export", "run", "countries", env={"HEADWATER_TOKEN": tokens["sam"]}, expect=1)
    told = [row["record"] for row in hw(folder, "audit", "list", "--user", "sam", "--decision", "refused", "--json").json]
    assert ("export", "export run countries") in {(one["action"], one["sql"]) for one in told}


@pytest.mark.parametrize("command", ["list", "run", "status"])
def test_who_may_run_no_export_is_told_that(guarded: tuple[Path, dict[str, str]], hw: Any, command: str) -> None:
    folder, tokens = guarded
    done = hw(folder, "export", command, env={"HEADWATER_TOKEN": tokens["sam"]})
    assert "there is no export that you may run" in done.out + done.err
    assert "the project has no exports" not in done.out + done.err


@pytest.mark.parametrize("command", ["ls", "status"])
def test_who_may_run_no_table_is_told_that(guarded: tuple[Path, dict[str, str]], hw: Any, command: str) -> None:
    folder, tokens = guarded
    nobody = {"HEADWATER_TOKEN": tokens["nobody"]}
    assert "there is no table that you may run" in hw(folder, command, env=nobody).err
    assert "there is no such table that you may run" in hw(folder, command, "marts.*", env=nobody).err
    assert "nothing is selected" in hw(folder, command, "marts.*", "--exclude", "marts.*").err


@pytest.mark.parametrize(
    "command", [["status", "countries"], ["dead", "list", "countries"], ["run", "countries"], ["history", "countries"], ["check", "countries"]]
)
def test_a_token_that_is_none_makes_no_lake(make_shop: Callable[..., Path], hw: Any, command: list[str]) -> None:
    folder = make_shop({"policies/p.yaml": POLICIES, "exports/countries.yaml": EXPORT})
    hw(folder, "user", "add", "sam", "--oidc")
    hw(folder, "export", *command, env={"HEADWATER_TOKEN": "hw_none"}, expect=None)
    assert not (folder / ".headwater" / "lake.sqlite").exists()
    assert not (folder / ".headwater" / "data").exists()
