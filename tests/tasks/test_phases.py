import pytest

from maskwright.core.errors import UserError
from maskwright.tasks.phases import Phase, phases_of


def test_a_run_without_phases_is_hybrid_throughout():
    assert phases_of({}) == [Phase(0.5, True, 1.0)]
    assert phases_of({"phases": None, "causal_share": 0.25, "shift": False}) == [Phase(0.25, False, 1.0)]


def test_objectives_say_how_much_is_causal_and_where_masked_tokens_are_predicted():
    given = [
        {"objective": "causal", "until": 0.3},
        {"objective": "hybrid", "until": 0.5},
        {"objective": "mntp", "until": 0.75},
        {"objective": "mlm"},
    ]
    assert phases_of({"phases": given, "causal_share": 0.2, "shift": False}) == [
        Phase(1.0, True, 0.3),
        Phase(0.2, False, 0.5),
        Phase(0.0, True, 0.75),
        Phase(0.0, False, 1.0),
    ]
    assert phases_of({"phases": [{"objective": "mlm", "until": 1}]}) == [Phase(0.0, False, 1.0)]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "task.phases is empty"),
        (["causal"], r"task.phases\[0\]='causal' is no phase"),
        ([{"objective": "casual"}], r"task.phases\[0\].objective=casual does not exist. Did you mean 'causal'\?"),
        ([{"until": 1}], r"task.phases\[0\].objective=None does not exist"),
        ([{"objective": "mlm", "untill": 1}], r"task.phases\[0\] has no key 'untill'. Did you mean 'until'\?"),
        ([{"objective": "causal"}, {"objective": "mlm"}], r"task.phases\[0\].until=None is no share of the run"),
        ([{"objective": "causal", "until": True}, {"objective": "mlm"}], "until=True is no share"),
        ([{"objective": "causal", "until": 0}, {"objective": "mlm"}], "until=0 does not come after 0"),
        (
            [{"objective": "causal", "until": 1.5}, {"objective": "mlm"}],
            "until=1.5 does not come after 0, .*more than 1",
        ),
        (
            [{"objective": "causal", "until": 0.5}, {"objective": "mlm", "until": 0.5}, {"objective": "mntp"}],
            r"task.phases\[1\].until=0.5 does not come after 0.5",
        ),
        ([{"objective": "mlm", "until": 0.5}], r"task.phases\[0\].until=0.5, but it is the last phase"),
    ],
)
def test_phases_that_do_not_fit_are_refused(phases, message):
    with pytest.raises(UserError, match=message):
        phases_of({"phases": phases})
