"""The functions of texts, where Postgres and DuckDB differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.decimals import is_exact
from headwater.serving.postgres.dialect.kinds import DECIMALS, FLOATS, INTEGERS, LISTS, TEXTS, Rule, no_more, of_kind, plain_text, typed
from headwater.serving.postgres.dialect.quotients import quotient_as_text
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.written import once, written


def _like(node: exp.Expr) -> exp.Expr:
    """A backslash escapes in Postgres without being asked to."""
    if isinstance(node.parent, exp.Escape):
        return node
    pattern = node.args["expression"]
    if isinstance(pattern, (exp.Any, exp.All)):
        raise Refused("LIKE with ANY or ALL")
    if isinstance(pattern, exp.Literal) and "\\" not in str(pattern.this):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


_STRANGE_PATTERN: Final = re.compile(r"\\[^.*+?()\[\]{}|^$\\/dDwWsS\-_,:;'\"#@!%&=<>~` ]|\(\?|\A[^\[]*\[.*\[:|\[[.=]|\*\*\*", re.DOTALL)
_ATOM: Final = r"(?:\\[dDwWsS]|\\[^A-Za-z0-9]|\[\^?(?:\\[dws]|\\[^A-Za-z0-9]|[^\\\[\]^])+\]|[^\\\[\](){}|*+?^$])"
#: Characters one after another, each as often as it says. Of what is more, groups that are repeated among it, Postgres takes the longest match, and
#: DuckDB the first.
_SEQUENCE: Final = re.compile(rf"\^?(?:[()]|{_ATOM}(?:[*+?]|\{{\d{{1,2}}(?:,(?:\d{{1,2}})?)?\}})?(?![*+?]))*\$?")


#: Characters of a regular expression. To look for what is amiss in it takes a time that grows with the square of its length.
_MOST_OF_PATTERN: Final = 1000
#: A sign that is escaped, or one of several in brackets.
_ONE_SIGN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\\\]])*\]", re.DOTALL)
#: Among single signs, what is an error in Postgres and none in the engine: nothing to repeat, and bounds that are none or beyond 255. And `^` and `$`
#: in the midst, which the engine overlooks.
_AMISS: Final = re.compile(
    r"(?:\A|[(|^$])(?:[*+?]|\{\d)|[*+?}]\{\d|\{\d(?!\d*(?:,\d*)?\})|\{(?:\d*,)?0*(?:[1-9]\d{3}|[3-9]\d\d|2[6-9]\d|25[6-9])|[^(|]\^|\$[^)|]"
)
#: In brackets: a range to or from a class or another range.
_RANGE_AMISS: Final = re.compile(r"\[.*(?:\\[dDwWsS]-[^\]]|(?:\\\\|[^\[^\\])-(?:\\[dDwWsS]|(?:\\.|[^\\])-[^\]]))", re.DOTALL)


def _is_amiss(pattern: str) -> bool:
    return any(map(_RANGE_AMISS.match, _ONE_SIGN.findall(pattern))) or _AMISS.search(_ONE_SIGN.sub("x", pattern)) is not None


def _regular(pattern: exp.Expr | None, *, takes: bool = False) -> str:
    """Text of a regular expression; with `takes` one whose match is the same, not only that there is one."""
    text = plain_text(pattern, "a regular expression")
    if len(text) > _MOST_OF_PATTERN:
        raise Refused(f"a regular expression of more than {_MOST_OF_PATTERN:,} characters")
    if _STRANGE_PATTERN.search(text):
        raise Refused("a regular expression with signs that mean something else here")
    if _is_amiss(text):
        raise Refused("a regular expression in which something is amiss, or stands where it says nothing")
    if takes and not _SEQUENCE.fullmatch(text):
        raise Refused("a regular expression with alternatives, lazy parts or repeated groups, which finds another match here")
    return text


#: Letters that aren't the one other case of a letter: Postgres takes a pattern's letter for itself, its small and its capital one, the engine for all
#: that have any of these in common. Of ASCII letters only these two are such.
_LIKE_ASCII: Final = "\u017f\u212a"  # the long s and the Kelvin sign
_LIKE_OTHERS: Final = (
    "\u00b5\u0130\u0131\u01c5\u01c8\u01cb\u01f2\u0345\u03c2\u03d0\u03d1\u03d5\u03d6\u03f0\u03f1\u03f4\u03f5"
    "\u1c80\u1c81\u1c82\u1c83\u1c84\u1c85\u1c86\u1c87\u1c88\u1e9b\u1e9e\u1fbe\u2126\u212b"
)


def _other_cases(expression: str) -> str:
    """Letters of a text with which a regular expression may match otherwise in Postgres, regardless of case. Raises Refused for its own."""
    if expression.isascii():
        return _LIKE_ASCII if re.search(r"[kKsS\[]", expression) else ""
    if re.search(rf"[{_LIKE_ASCII}{_LIKE_OTHERS}]|[^\x00-\x7f]-|-[^\x00-\x7f]", expression):
        raise Refused("a regular expression regardless of case with these letters, which have several others")
    return _LIKE_ASCII + _LIKE_OTHERS


def _groups(expression: str) -> int:
    return re.sub(_ATOM, "", expression).count("(")


def _may_be_empty(expression: str) -> bool:
    """Whether a sequence matches where there are no characters: none of its own has to be there."""
    return re.fullmatch(rf"\^?(?:[()]|{_ATOM}(?:[*?]|\{{0+(?:,\d*)?\}}))*\$?", expression) is not None


def _regexp_like(options: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        no_more(node, "this", "expression")
        expression = _regular(node.args["expression"])
        given = f"{_quoted(expression)}, '{options}'"
        return _of_known_letters(node.this, expression, lambda text: f"regexp_matches({text}, {given})", "boolean", options)

    return rule


def _of_known_letters(of: exp.Expr, expression: str, make: Callable[[str], str], type: str, options: str = "") -> exp.Expr:
    """What `make` makes of a text by a regular expression. Which signs beyond ASCII are letters (`\\w`) and spaces (`\\s`) they know each in its own
    way, and a vertical tab too; and some letters have several others as their other case. Where it matters, a text that has some makes the query
    fail."""
    others = _other_cases(expression) if "i" in options else ""
    signs = r"^\x00-\x0a\x0c-\x7f" if re.search(r"\\[wWsS]", expression.replace("\\\\", "")) else others

    def made(text: str) -> str:
        if not signs:
            return make(text)
        fails = f"CAST(CAST('letters or spaces that may be others' AS TINYINT) AS {type})"
        return f"CASE WHEN regexp_matches({text}, {_quoted(f'[{signs}]')}) THEN {fails} ELSE {make(text)} END"

    return written(once(made, of), type, of)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _regexp_replace(node: exp.Expr) -> exp.Expr:
    expression = _regular(node.args["expression"], takes=True)
    replacement = plain_text(node.args.get("replacement"), "a replacement")
    if re.search(r"\\[^1-9\\]|\\$", replacement):
        raise Refused("this replacement")
    groups = _groups(expression)
    if any(int(number) > groups for number in re.findall(r"(?<!\\)(?:\\\\)*\\([1-9])", replacement)):
        raise Refused("a replacement that takes a group which the regular expression doesn't have")
    modifiers = node.args.get("modifiers")
    flags = plain_text(modifiers, "the flags of regexp_replace") if modifiers is not None else ""
    if set(flags) - set("gi"):
        raise Refused("these flags of regexp_replace")
    if "g" in flags and _may_be_empty(expression):
        raise Refused("regexp_replace of all matches where a match may be empty")
    no_more(node, "this", "expression", "replacement", "modifiers", "single_replace")
    given = f"{_quoted(expression)}, {_quoted(replacement)}, '{flags}s'"
    return _of_known_letters(node.this, expression, lambda text: f"regexp_replace({text}, {given})", "text", flags)


def _substring(node: exp.Expr) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    if isinstance(start, exp.Literal) and start.is_string and length is None:
        return _matched(node.this, start)
    if not (_whole(start) and (length is None or _whole(length))):
        raise Refused("substring with places that aren't plain positive numbers")
    return node


def _matched(of: exp.Expr, pattern: exp.Expr) -> exp.Expr:
    """The first match of a regular expression, or of its first group; null without one."""
    expression = _regular(pattern, takes=True)
    if not of_kind(of, TEXTS):
        raise Refused("substring by a regular expression of what isn't known to be text")
    regex, group = _quoted(expression), int(_groups(expression) > 0)

    def match(text: str) -> str:
        return f"CASE WHEN regexp_matches({text}, {regex}, 's') THEN regexp_extract({text}, {regex}, {group}, 's') END"

    return _of_known_letters(of, expression, match, "text")


def _whole(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdecimal() and int(str(node.this)) > 0


def _trim(node: exp.Expr) -> exp.Expr:
    """Without characters it takes off spaces in both."""
    no_more(node, "this", "expression", "position")
    position = str(node.args.get("position") or "BOTH").upper()
    name = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(position, "TRIM")
    characters = node.args.get("expression")
    return exp.Anonymous(this=name, expressions=[node.this.copy(), (characters or exp.Literal.string(" ")).copy()])


def _position(node: exp.Expr) -> exp.Expr:
    no_more(node, "this", "substr")
    return typed(node.copy(), "int")


def _length(node: exp.Expr) -> exp.Expr:
    if not (of_kind(node.this, TEXTS) or isinstance(node.this, exp.Literal)):
        raise Refused("length of something that isn't known to be text")
    return typed(node.copy(), "int")


def _split_part(node: exp.Expr) -> exp.Expr:
    if not _whole(node.args.get("part_index")) or not plain_text(node.args.get("delimiter"), "the delimiter of split_part"):
        raise Refused("split_part at a place that isn't a plain positive number")
    return node


def _concat(node: exp.Expr) -> exp.Expr:
    """Nulls are passed over in both; what isn't text is printed."""
    for one in node.expressions:
        of = one.this if isinstance(one, exp.Coalesce) else one
        if not (of_kind(of, TEXTS | INTEGERS) or isinstance(of, (exp.Literal, exp.Null, exp.Parameter))):
            raise Refused("concat of what isn't text or an integer; cast it")
    return node


#: Letters whose other case both know alike. Other texts make the query fail.
_LETTERS: Final = "A-Za-zÀ-ÖØ-Þà-öø-ÿ"


def _initcap(node: exp.Expr) -> exp.Expr:
    """A capital at the beginning of each word, small letters behind it; a word is letters and digits."""
    of = node.this
    if not of_kind(of, TEXTS):
        raise Refused("initcap of what isn't known to be text")

    def made(text: str) -> str:
        fails = "CAST(CAST('initcap of letters that may be written otherwise' AS TINYINT) AS VARCHAR)"
        words = f"regexp_extract_all({text}, '[{_LETTERS}0-9]+|[^{_LETTERS}0-9]+')"
        capitals = f"array_to_string(list_transform({words}, lambda hw_w: upper(left(hw_w, 1)) || lower(substr(hw_w, 2))), '')"
        return f"CASE WHEN regexp_matches({text}, '[^{_LETTERS}\\x00-\\x7f]') THEN {fails} ELSE {capitals} END"

    return written(once(made, of), "text", of)


def _dpipe(node: exp.Expr) -> exp.Expr:
    for side in (node.this, node.args["expression"]):
        if of_kind(side, DECIMALS | FLOATS) and not isinstance(side, exp.Literal):
            shown = quotient_as_text(side)
            if shown is None and not (of_kind(side, DECIMALS) and is_exact(side.type)):
                raise Refused("|| of a number that may be written otherwise in Postgres; round it, or cast it to text")
            side.replace(shown if shown is not None else typed(side.copy(), "text"))
    sides = (node.this, node.args["expression"])
    for side in sides:
        if not (
            of_kind(side, TEXTS | INTEGERS) or isinstance(side, (exp.Literal, exp.Null, exp.Parameter, exp.DPipe, exp.Paren, exp.Cast, exp.Left))
        ):
            raise Refused("|| of what isn't known to be text or an integer; cast it")
    if isinstance(node.parent, exp.DPipe) or any(of_kind(side, LISTS) for side in sides):
        return node
    return typed(node.copy(), "text")  # of nothing but nulls it would be an integer


def _string_agg(node: exp.Expr) -> exp.Expr:
    of = node.this
    while isinstance(of, (exp.Order, exp.Distinct)):
        of = of.this if isinstance(of, exp.Order) else of.expressions[0]
    if not of_kind(of, TEXTS):
        raise Refused("string_agg of what isn't known to be text")
    return node


def _trimmed(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        characters = node.expressions[1] if len(node.expressions) > 1 else exp.Literal.string(" ")
        made = exp.Anonymous(this=name, expressions=[node.expressions[0].copy(), characters.copy()])
        made.type = exp.DataType.build("text")
        return made

    return rule


def _padded(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        of, length, fill = [*node.expressions, exp.Literal.string(" ")][:3]
        if not (of_kind(of, TEXTS) and of_kind(length, INTEGERS)):
            raise Refused(f"{name.lower()} of what isn't known to be text, to a length that isn't known to be an integer")
        if isinstance(fill, exp.Literal) and not fill.name:
            raise Refused(f"{name.lower()} with nothing to fill with")
        made = exp.Anonymous(this=name, expressions=[of.copy(), length.copy(), fill.copy()])
        made.type = exp.DataType.build("text")
        return made

    return rule


TEXT_RULES: Final[dict[str, Rule]] = {
    "Initcap": _initcap,
    "Like": _like,
    "ILike": _like,
    "RegexpLike": _regexp_like("s"),
    "RegexpILike": _regexp_like("is"),
    "RegexpReplace": _regexp_replace,
    "Substring": _substring,
    "Trim": _trim,
    "StrPosition": _position,
    "Length": _length,
    "SplitPart": _split_part,
    "Concat": _concat,
    "DPipe": _dpipe,
    "GroupConcat": _string_agg,
    "hw_kept_lpad()": _padded("LPAD"),
    "hw_kept_rpad()": _padded("RPAD"),
    "hw_kept_ltrim()": _trimmed("LTRIM"),
    "hw_kept_rtrim()": _trimmed("RTRIM"),
    "hw_kept_btrim()": _trimmed("TRIM"),
}
