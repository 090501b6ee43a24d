import pytest

from tuner.redaction import redact

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgresql+psycopg://tuner:{CANARY}@db/x", "postgresql+psycopg://tuner:***@db/x"),
        (f"https://{CANARY}@host:5000/path", "https://***@host:5000/path"),
        (f"http://u:{CANARY}@@{CANARY}/x@host", "http://u:***@host"),
        (f"http://u:pa'{CANARY}\"@host", "http://u:***@host"),
        (f"s3://bucket/key?X-Amz-Signature={CANARY}&part=1", None),
        (f"s3://AKIAKEY:{CANARY}/+{CANARY}@bucket/files", "s3://AKIAKEY:***@bucket/files"),
        (f"s3://b/x?AWSAccessKeyId={CANARY}&X-Amz-Security-Token={CANARY}", None),
        (f"abfs://c@a.dfs.core.windows.net/x?sv=2024&sig={CANARY}", None),
        (f"AccountName=a;AccountKey={CANARY};EndpointSuffix=core.windows.net", None),
        (f"postgresql://host/db?user=a&password={CANARY}", "postgresql://host/db?user=a&password=***"),
        (f"https://host/x?sas_Token={CANARY}#top", None),
        (f"cannot reach http://a:{CANARY}@b and http://c:{CANARY}@d today", None),
        (f"('https://a:{CANARY}@b', 'q')", "('https://a:***@b', 'q')"),
    ],
)  # fmt: skip
def test_secrets_are_masked(text, shown):
    hidden = redact(text)
    assert CANARY not in hidden
    assert shown is None or hidden == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////data/mlflow.db",
        "http://localhost:5000/#/experiments/1",
        "models:/digits@champion",
        "mail me@host about x=1",
        "https://host/path?page=2",
    ],
)
def test_text_without_secrets_is_unchanged(text):
    assert redact(text) == text


def test_the_rest_of_a_message_is_unchanged():
    hidden = redact(f"cannot reach http://a:{CANARY}@b and http://c:{CANARY}@d today")
    assert hidden == "cannot reach http://a:***@b and http://c:***@d today"
