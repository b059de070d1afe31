"""Subjects: validation, forms of one name, and patterns."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.broker.subjects import (
    BadSubject,
    ForbiddenSubject,
    SubjectForm,
    channel_id_of,
    channel_subject,
    covers,
    overlaps,
    resolve,
    resolve_channel,
    to_form,
    validate,
)

TENANT, OTHER = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDE", "01JDB7Z8Q4T5W6X7Y8Z9A0BCDF"
# Enough to distinguish patterns of three tokens.
WORDS = ("a", "b", "c")
SUBJECTS = [".".join(s) for length in range(1, 6) for s in itertools.product(WORDS, repeat=length)]


def matched(pattern):
    """The subjects that a pattern matches, by the definition in the NATS documentation."""

    def matches(tokens, subject):
        if not tokens:
            return not subject
        if tokens[0] == ">":
            return len(subject) > 0
        return bool(subject) and tokens[0] in ("*", subject[0]) and matches(tokens[1:], subject[1:])

    return {subject for subject in SUBJECTS if matches(pattern.split("."), subject.split("."))}


@st.composite
def patterns(draw):
    tokens = draw(st.lists(st.sampled_from(("a", "b", "*")), min_size=0, max_size=3))
    if not tokens or draw(st.booleans()):
        tokens.append(">")
    return ".".join(tokens)


@given(patterns(), patterns())
def test_covers_and_overlaps_match_the_definition(one, other):
    left, right = matched(one), matched(other)
    assert covers(one, other) == (right <= left)
    assert overlaps(one, other) == bool(left & right)
    assert overlaps(other, one) == overlaps(one, other)


@given(patterns(), st.sampled_from(SUBJECTS))
def test_covers_matches_single_subjects(pattern, subject):
    assert covers(pattern, subject) == (subject in matched(pattern))


@given(st.text(max_size=40))
def test_validated_subject_is_one_token_on_the_wire(text):
    try:
        tokens = validate(text, wildcards=False)
    except BadSubject:
        return
    assert ".".join(tokens) == text
    assert text.split() == text.encode().decode().split() == [text]
    assert all(tokens)
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text)


@given(st.text(max_size=40), st.booleans())
def test_no_text_resolves_outside_the_tenant(text, wildcards):
    try:
        name = resolve(TENANT, text, wildcards=wildcards)
    except (BadSubject, ForbiddenSubject):
        return
    own = tuple(f"{root}{TENANT}." for root in ("", "tenant.", "agents.", "channels."))
    for subject in (name.publish_subject, *name.subscribe_subjects):
        assert subject.startswith(own) or subject.startswith("_INBOX.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a\tb",
        "a\nb",
        "a\n",
        "a\0",
        "a\x7f",
        "a\x80",
        "a\x9f",
        "\u2028",
        "\ud800",
        "x" * 256,
        "ü" * 128,
        "a*",
        "*a",
        ">a",
        "a>",
        "a.>.b",
    ],
)
def test_malformed_subject_is_rejected(text):
    for wildcards in (True, False):
        with pytest.raises(BadSubject):
            validate(text, wildcards=wildcards)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("x.y", SubjectForm.BARE),
        (f"{TENANT}.x.y", SubjectForm.SHORT),
        (f"tenant.{TENANT}.x.y", SubjectForm.FULL),
    ],
)
def test_all_forms_of_a_subject_resolve_to_one_name(text, form):
    name = resolve(TENANT, text, wildcards=False)
    assert name.form is form
    assert name.publish_subject == f"{TENANT}.x.y"
    assert name.subscribe_subjects == (f"{TENANT}.x.y", f"tenant.{TENANT}.x.y")
    for real in name.subscribe_subjects:
        assert to_form(TENANT, real, form) == text


def test_channels_and_legacy_roots_have_one_form():
    subject = channel_subject(TENANT, "c")
    for name in (resolve_channel(TENANT, "c"), resolve(TENANT, subject, wildcards=False)):
        assert (name.publish_subject, name.subscribe_subjects, name.channel) == (subject, (subject,), "c")
    assert channel_id_of(TENANT, subject) == "c"
    assert channel_id_of(OTHER, subject) is None
    for form in SubjectForm:
        assert to_form(TENANT, subject, form) == subject
    for root in ("agents", "channels"):
        text = f"{root}.{TENANT}.x"
        name = resolve(TENANT, text, wildcards=False)
        assert (name.publish_subject, name.subscribe_subjects, name.form) == (
            text,
            (text,),
            SubjectForm.AS_IS,
        )
        # Without a tenant id after it, the root is an ordinary token.
        assert resolve(TENANT, f"{root}.x", wildcards=False).publish_subject == f"{TENANT}.{root}.x"
    for channel in ("", "a.b", "*", ">", "a b"):
        with pytest.raises(BadSubject):
            resolve_channel(TENANT, channel)


@pytest.mark.parametrize(
    "text",
    [
        "tenant",
        "tenant.*",
        "tenant.>",
        f"tenant.{OTHER}.x",
        f"{OTHER}.x",
        OTHER,
        f"agents.{OTHER}.x",
        f"channels.{OTHER}.>",
        "$SYS.>",
        "$JS.API.x",
        "_INBOX.>",
        "_heartbeat.x",
    ],
)
def test_foreign_and_platform_subjects_are_forbidden(text):
    with pytest.raises(ForbiddenSubject):
        resolve(TENANT, text, wildcards=True)
