from snnc_dropweak.drop_weak import DropWeak

from snnc.testing import assert_pass_contract


def test_drop_weak_keeps_the_contract_of_a_pass() -> None:
    assert_pass_contract(DropWeak(below=0.3))
