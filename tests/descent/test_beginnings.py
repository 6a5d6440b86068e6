"""What a rule is called as it begins."""

from metadescent import zoo
from metadescent.descent.baselines import BASELINES
from metadescent.descent.beginnings import as_begun, is_begun


def test_a_name_tells_whether_the_rule_was_trained() -> None:
    for name in (*zoo.names(), *BASELINES):
        assert not is_begun(name)
        assert is_begun(as_begun(name))
        assert as_begun(name).startswith(name)
