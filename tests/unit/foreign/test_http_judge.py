from meshtwin.foreign.http_model import HttpJudge


def test_token_of_a_model_is_not_shown_where_the_model_is_printed():
    judge = HttpJudge(url="https://models.example.org", model="theirs", token="a-secret")
    assert "a-secret" not in repr(judge)
    assert "theirs" in repr(judge)
