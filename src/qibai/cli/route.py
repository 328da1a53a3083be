"""``qibai route CALLED CALLER``."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from qibai.cli.language import local
from qibai.cli.options import JsonOut, asked, config_of
from qibai.cli.output import as_json, out, say
from qibai.cli.times import shown
from qibai.core.existing import Dialled, ExistingNumber
from qibai.core.ids import format_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pilot import Rule, Rules
from qibai.core.routing import Refusal, Route
from qibai.service.decision import Decider
from qibai.store.keys import Keyring


def route(
    ctx: typer.Context,
    called: Annotated[str, typer.Argument(help="The number that is dialled: 700, or an old middle number.")],
    caller: Annotated[str, typer.Argument(help="Who dials it; - asks for the number.", callback=asked)],
    json: JsonOut = False,
) -> None:
    """Explain what a call would do, step by step; nothing is called. The exit status is 4 if it were refused.

    Example: qibai route 700100000011234 -
    """
    config = config_of(ctx)
    steps: list[str] = []
    number, party = _read(called), Msisdn.parse(caller, field="caller")
    if isinstance(number, Number700):
        steps.append(f"{number} is a 700 number: code {number.code}, serial {number.serial:04d}")
    else:
        steps.append(f"{number.masked} is no 700 number; it may be an old middle number")
    steps.append(f"{party.masked} is a mainland mobile number")
    timeout_ms = max(config.store.statement_timeout_ms, 1000)
    decider = Decider(config, Keyring.load(config.key_file), timeout_ms=timeout_ms)
    try:
        decision, (record, in_use, now), rule = decider.explain(number, party)
    finally:
        decider.close()
    if record is None:
        steps.append(f"no binding lets {party.masked} dial it")
        steps.append("somebody else is bound on it" if in_use else "nobody at all is bound on it")
    else:
        ends = datetime.fromtimestamp(record.ends_at, UTC)
        binding = format_id("b", record.code, record.binding_id)
        steps.append(f"binding {binding} lets {'anyone' if record.anyone else party.masked} dial it")
        if record.ends_at > 0:
            verb = "ends" if record.ends_at > now else "ended"
            steps.append(f"that binding {verb} at {shown(ends)}")
        else:
            steps.append("that binding was released, or its parties were changed")
    if record is not None:
        steps.append(_pilot(config.pilot.rules, rule, now))
    answer: dict[str, Any] = {"called": _shown(number), "caller": party.masked, "steps": steps}
    if isinstance(decision, Route):
        kind = "the member who called last" if decision.record.to_group else "the other party"
        steps.append(f"the call goes to {kind}, who sees {_shown(decision.record.shown)}")
        steps.append(f"it may last {decision.max_call_s} s")
        answer |= {
            "decision": "connect",
            "shown": _shown(decision.record.shown),
            "max_call_s": decision.max_call_s,
        }
    else:
        steps.append(_refused(decision))
        answer |= {
            "decision": "refuse",
            "reason": decision.reason.value,
            "rule": decision.rule,
            "sip_status": decision.sip.status,
            "q850": decision.sip.q850,
        }
    if json:
        as_json(answer)
    else:
        for place, step in enumerate(steps, 1):
            say(f"{place}. {local(step)}")
        colour = "green" if isinstance(decision, Route) else "red"
        out.print(local(answer["decision"]), style=colour, markup=False)
    if isinstance(decision, Refusal):
        raise typer.Exit(4)


def _read(called: str) -> Dialled:
    """Raise BadNumber700, unless it could be an old middle number."""
    found = ExistingNumber.find(called)
    return Number700.parse(called) if found is None else found


def _shown(number: Dialled) -> str:
    """An old middle number looks like a real one, and may be one again."""
    return number.masked if isinstance(number, ExistingNumber) else str(number)


def _pilot(rules: Rules, rule: Rule | None, now: float) -> str:
    """What the rules say of the number."""
    if rules.calendar is None:
        said = "pilot.notice is not set: of the rules, only the operator's own are asked"
    else:
        said = f"the pilot is in the phase {rules.calendar.phase(now)}"
    if rule is None:
        return f"{said}; no rule forbids the call"
    return f"{said}; the rule {rule.id} forbids the call: {rule.text} ({rule.document})"


def _refused(refusal: Refusal) -> str:
    sip = refusal.sip
    return f"refused, {refusal.reason.value}: SIP {sip.status} {sip.phrase}, Q.850 cause {sip.q850}"
