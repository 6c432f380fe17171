"""Words of the ledger as people read them: a sign, a word, a sentence that explains it, and which of four looks it has.

Comes in: a stable word. Goes out: a StateWord. The word itself stays beside the translation where the YAML uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from console.web.language import N_


@dataclass(frozen=True)
class StateWord:
    """How a state is shown; none hangs on its colour."""

    sign: str
    #: In English, as the key of a translation.
    word: str
    #: good, wait, hold, bad, off: the look.
    look: str
    says: str


STATES: Mapping[str, StateWord] = {
    "delivered": StateWord("✓", N_("delivered"), "good", N_("Everything that its rules asked for was done.")),
    "waiting": StateWord("◔", N_("waiting"), "wait", N_("It waits for its turn, or for another try.")),
    "delivering": StateWord("◔", N_("being delivered"), "wait", N_("Part of it is done, part of it waits.")),
    "held": StateWord("▣", N_("held"), "hold", N_("It waits until a person decides.")),
    "dead": StateWord("✕", N_("dead"), "bad", N_("It failed for good; nobody tries again by itself.")),
    "quarantined": StateWord("✕", N_("in quarantine"), "bad", N_("It could not be read; it was kept as it came.")),
    "unmatched": StateWord("·", N_("unmatched"), "off", N_("No rule wanted it.")),
    "observed": StateWord("○", N_("observed"), "off", N_("Only observed rules match: nothing was sent.")),
    "echo": StateWord("·", N_("echo"), "off", N_("Relais wrote this there itself.")),
    "duplicate": StateWord("·", N_("duplicate"), "off", N_("It came before.")),
    "coalesced": StateWord("·", N_("replaced"), "off", N_("A newer one took its place.")),
    "stale": StateWord("·", N_("overtaken"), "off", N_("Something newer said that less is wanted.")),
    "skipped": StateWord("·", N_("given up"), "off", N_("It is not sent: a rule or a person said so.")),
    "retried": StateWord("·", N_("retried"), "off", N_("Another took its place.")),
    "up": StateWord("●", N_("up"), "good", N_("Deliveries go through.")),
    "down": StateWord("✕", N_("down"), "bad", N_("It does not answer; one delivery is tried now and then.")),
    "paused": StateWord(
        "‖", N_("paused"), "hold", N_("Nothing is sent until a person resumes it, or until the time that is named.")
    ),
    "resting": StateWord("◔", N_("resting"), "wait", N_("It asked to be left alone for a while.")),
    "unusable": StateWord("✕", N_("unusable"), "bad", N_("The book says what cannot work.")),
    "quiet": StateWord("◔", N_("quiet"), "wait", N_("Unusually long nothing came.")),
    "in_force": StateWord("✓", N_("in force"), "good", N_("Receivers and workers act by it.")),
    "ok": StateWord("✓", N_("in order"), "good", N_("Nothing is amiss.")),
    "amiss": StateWord("✕", N_("amiss"), "bad", N_("Something has to be mended.")),
    "refused": StateWord("✕", N_("refused"), "bad", N_("The request was not taken.")),
    "new": StateWord("!", N_("new"), "bad", N_("Nobody has said anything of it yet.")),
    "known": StateWord("·", N_("known"), "off", N_("Somebody looks after it.")),
    "muted": StateWord("‖", N_("muted"), "off", N_("The page Now leaves it out until it ends.")),
    "solved": StateWord("✓", N_("solved"), "good", N_("If it fails once more, an alert says that it came back.")),
    "came_back": StateWord(
        "!", N_("came back"), "bad", N_("It was solved, or its mute has ended, and it failed again.")
    ),
    "running": StateWord("◔", N_("running"), "wait", N_("It is being done.")),
    "done": StateWord("✓", N_("done"), "good", N_("It was done.")),
    "stopped": StateWord("‖", N_("stopped"), "hold", N_("A person stopped it.")),
}


def of(state: str) -> StateWord:
    """Return how a state is shown; one that nobody knows is shown as it is."""
    return STATES.get(state) or StateWord("?", state, "off", "")


#: How an item ended, by the word of the mailroom.
OUTCOMES: Mapping[str, str] = {
    "done": N_("done"),
    "gone": N_("left alone: somebody else was quicker, or it was so already"),
    "never_made": N_("left alone: there is nothing to send as it was; mend the rule and retry by today's rules"),
    "overtaken": N_("left alone: something newer was sent to the same object, or waits for it"),
    "erased": N_("left alone: the payload is erased"),
    "follows_another": N_("left alone: it came of `next:`, so it can only be retried as it was sent"),
    "known": N_("left alone: it came in meanwhile"),
    "unfit": N_("left alone: the book in force cannot read it, either"),
    "unwanted": N_("left alone: no rule of the book in force wants it"),
    "unverified": N_("left alone: its sender was never verified"),
    "cut": N_("left alone: only the beginning of its body was kept"),
    "busy": N_("left alone: its event was being routed all the time"),
    "unsettled": N_("left alone: something of it still waits or is dead"),
    "aside": N_("left alone: it lies in quarantine, or where no rule wanted it, and is taken in from there"),
    "under_way": N_("left alone: it is being sent, may have been sent, or a person is asked about it"),
}


#: How an attempt to deliver ended, by the word of the ledger.
ATTEMPTS: Mapping[str, str] = {
    "done": N_("done"),
    "limited": N_("asked to wait"),
    "transient": N_("failed for now"),
    "ambiguous": N_("perhaps done"),
    "permanent": N_("failed for good"),
    "credential": N_("key refused"),
}

#: What can be chosen by, as queries and forms call it.
CHOICES: Mapping[str, str] = {
    "id": N_("id"),
    "event": N_("event"),
    "source": N_("source"),
    "type": N_("type"),
    "state": N_("state"),
    "destination": N_("destination"),
    "action": N_("action"),
    "rule": N_("rule"),
    "code": N_("code"),
    "who": N_("person"),
    "span": N_("received"),
}

#: What a person did, by the word of ledger or audit.
DEEDS: Mapping[str, str] = {
    # Of the ledger.
    "released": N_("released"),
    "skipped": N_("skipped"),
    "revived": N_("retried as sent"),
    "again": N_("retried by today's rules"),
    "dropped": N_("dropped"),
    "undropped": N_("had back"),
    "taken_in": N_("taken in"),
    "looked": N_("payload looked at"),
    "forgotten": N_("person forgotten"),
    # Of the audit.
    "accept": N_("change of fields accepted"),
    "add_token": N_("token made"),
    "add_user": N_("user added"),
    "approve": N_("book approved"),
    "cancel": N_("deliveries canceled"),
    "compare": N_("source compared"),
    "discard": N_("held events discarded"),
    "drop": N_("dropped"),
    "end_shadow": N_("observed book ended"),
    "find_person": N_("person searched for"),
    "forget": N_("person forgotten"),
    "hold": N_("source held"),
    "know_case": N_("case taken on"),
    "look": N_("payload looked at"),
    "make_link": N_("link to come in made"),
    "mute_case": N_("case muted"),
    "pause": N_("paused"),
    "pause_job": N_("job paused"),
    "release": N_("released"),
    "release_source": N_("source released"),
    "remove_token": N_("token removed"),
    "remove_user": N_("user removed"),
    "replay": N_("routed once more"),
    "reroute": N_("routed anew"),
    "reset_user": N_("pass phrase set back"),
    "resume": N_("resumed"),
    "resume_job": N_("job resumed"),
    "retry": N_("retried"),
    "shadow": N_("book observed"),
    "show_person": N_("person looked at"),
    "sign_in": N_("signed in"),
    "sign_in_refused": N_("sign-in refused"),
    "skip": N_("skipped"),
    "solve_case": N_("case solved"),
    "stop_job": N_("job stopped"),
    "stop_pull": N_("back-fill stopped"),
    "test_alerts": N_("alerts tried"),
    "undo_job": N_("job undone"),
    "undrop": N_("had back"),
    "unmute_case": N_("case unmuted"),
}

#: As what the text of a search was read (`console.people`).
READINGS: Mapping[str, str] = {
    "e-mail": N_("e-mail"),
    "e-mail, as it was written": N_("e-mail, as it was written"),
    "telephone": N_("telephone"),
    "id of a system": N_("id of a system"),
    "id of a message": N_("id of a message"),
}

#: What a delivery that waits stands at, by the word of the store.
PLACES: Mapping[str, str] = {
    "ready": N_("ready"),
    "under way": N_("under way"),
    "waiting": N_("waiting"),
    "held": N_("held"),
    "blocked": N_("behind another"),
}

#: What another book would do otherwise.
CHANGES: Mapping[str, str] = {
    "added": N_("added"),
    "gone": N_("gone"),
    "changed": N_("changed"),
    "failing": N_("would fail"),
    "undecided": N_("cannot be told"),
}
