"""Every command of ``qibai``, one entry each; a test holds that an entry's help is the command's own."""

from typing import Final

from qibai.cli.lazy import Entry, LazyGroup

START: Final = "Start"
WORK: Final = "Work"
ADMINISTER: Final = "Administer"
RESOURCES: Final = "Resources"
ANSWER: Final = "Answer for"

ENTRIES: Final = (
    Entry(
        "demo",
        START,
        "demo:demo",
        "Start the platform, place a call and send a message through 700 numbers, show what each side saw.",
    ),
    Entry(
        "init",
        START,
        "init:init",
        "Make the home: keys and a configuration with comments. What is there is left alone.",
    ),
    Entry(
        "up",
        START,
        "up:up",
        "Start everything, restart what dies, and stop it all cleanly on Ctrl-C or SIGTERM.",
    ),
    Entry("down", START, "up:down", "Stop the platform that runs in this home, and wait until it is gone."),
    Entry(
        "status",
        START,
        "up:status",
        "Show the parts and their state; the exit status is 3 unless every part is ready.",
    ),
    Entry(
        "stats",
        START,
        "stats.command:stats",
        "Show how calls and messages went, why calls failed, what headroom is left, and how this machine"
        " does.",
    ),
    Entry(
        "top",
        START,
        "top.command:top",
        "Show what this node does just now: calls, peers, refusals, numbers, messages and its parts.",
    ),
    Entry(
        "reload",
        START,
        "reload:reload",
        "Take over changed peers, links and limits while everything runs; name what needs a restart.",
    ),
    Entry(
        "doctor",
        START,
        "doctor:doctor",
        "Check every part, and say what is wrong and how to mend it; the exit status is 1 if something is.",
    ),
    Entry("bind", WORK, "bind:bind", "Bind parties to 700 numbers."),
    Entry(
        "show",
        WORK,
        "show:show",
        "Show the tenant's bindings on a 700 number, newest first; real numbers masked unless --reveal.",
    ),
    Entry(
        "release", WORK, "release:release", "End a binding now; its numbers are held back for the quarantine."
    ),
    Entry(
        "route",
        WORK,
        "route:route",
        "Explain what a call would do, step by step; nothing is called. The exit status is 4"
        " if it were refused.",
    ),
    Entry(
        "calls",
        WORK,
        "calls:calls",
        "List call records, refused calls too, newest first; --follow prints each new or changed one.",
    ),
    Entry("terminate", WORK, "terminate:terminate", "End a running call."),
    Entry(
        "send",
        WORK,
        "send:send",
        "Send a text message on behalf of one party of a binding to the other, who sees the 700 number.",
    ),
    Entry(
        "messages", WORK, "messages:messages", "List message records, newest first; their texts are starred."
    ),
    Entry(
        "links",
        WORK,
        "links:links",
        "Show the state of every link for text messages, as this machine's gateway reported it a second ago.",
    ),
    Entry(
        "take-over",
        ADMINISTER,
        "take_over:take_over",
        "Give the text messages of a node that does not come back to a node that runs.",
    ),
    Entry(
        "backup",
        ADMINISTER,
        "backup:backup",
        "Back up the database, the audit anchors, the spool and the journal while everything runs.",
    ),
    Entry(
        "restore",
        ADMINISTER,
        "backup:restore",
        "Put a backup back into this home, or only see whether that would work.",
    ),
    Entry(
        "migrate",
        ADMINISTER,
        "migrate:migrate",
        "Bring the database's schema up to date, as its owner; safe to run at any time, by many at once.",
    ),
    Entry(
        "config",
        ADMINISTER,
        "settings:config",
        "Print the configuration in effect, a sample file, or the reference page; or check it.",
    ),
    Entry(
        "login",
        ADMINISTER,
        "login:login",
        "Save an API key for `bind`, `calls` and the others, in cli.json (mode 600) of the home.",
    ),
    Entry(
        "api",
        ADMINISTER,
        "processes:api",
        "Run the HTTP API in the foreground (`qibai up` and systemd do so).",
    ),
    Entry(
        "recorder",
        ADMINISTER,
        "processes:recorder",
        "Run the recorder of calls in the foreground (`qibai up` and systemd do so).",
    ),
    Entry(
        "gateway",
        ADMINISTER,
        "processes:gateway",
        "Run the gateway of text messages in the foreground (`qibai up` and systemd do so).",
    ),
    Entry(
        "kamailio",
        ADMINISTER,
        "processes:kamailio",
        "Write Kamailio's configuration and become Kamailio (systemd does so).",
    ),
    Entry("rtpengine", ADMINISTER, "processes:rtpengine", "Become rtpengine (systemd does so)."),
    Entry("version", ADMINISTER, "version:version", "Print the version."),
    Entry(
        "pools",
        RESOURCES,
        "pools:show",
        "Show pools of numbers by tenant and province: free, bound, resting, locked; when they are used up.",
    ),
    Entry(
        "trace",
        ANSWER,
        "trace:trace",
        "Trace a 700 number (溯源): whose it was then, for which order; real numbers stay masked.",
    ),
    Entry(
        "reveal",
        ANSWER,
        "trace:reveal",
        "Show a binding's or call's real numbers, once, after another operator has approved it"
        " (`qibai dual`).",
    ),
    Entry("tenant", ADMINISTER, "tenant:app", "Tenants and their API keys."),
    Entry("code", ADMINISTER, "code:app", "Codes (the first 11 digits of 700 numbers)."),
    Entry(
        "access",
        ADMINISTER,
        "access:app",
        "API keys of operators, auditors and application platforms (a tenant's: `qibai tenant key`).",
    ),
    Entry("keys", ADMINISTER, "keys:app", "Keys of encryption and look-up."),
    Entry("dual", ADMINISTER, "dual:app", "Acts that take two persons."),
    Entry("audit", ADMINISTER, "audit:app", "The audit trail."),
    Entry("approvals", ADMINISTER, "dual:app", "Acts that take two persons.", hidden=True),
    Entry(
        "migrate-bindings",
        ADMINISTER,
        "migration:app",
        "Move bindings from old middle numbers to 700 numbers: plan, execute, cut over, roll back.",
    ),
    Entry(
        "carrier", RESOURCES, "resources.carriers:app", "Carriers, by the fourth digit of their 700 numbers."
    ),
    Entry("platform", RESOURCES, "resources.platforms:app", "Application-platform providers."),
    Entry(
        "application",
        RESOURCES,
        "resources.applications:app",
        "Applications: for an approval or codes, to return codes, leave, renew.",
    ),
    Entry("approval", RESOURCES, "resources.papers:approvals", "Pilot approvals (试点批文)."),
    Entry(
        "certificate",
        RESOURCES,
        "resources.papers:certificates",
        "Code-resource certificates (码号资源使用证书).",
    ),
    Entry("number", RESOURCES, "resources.locks:app", "Lock and unlock 700 numbers."),
    Entry("quota", RESOURCES, "resources.quotas:app", "How many live bindings a tenant may have."),
)


class Commands(LazyGroup):
    """The commands of ``qibai``."""

    entries = ENTRIES
