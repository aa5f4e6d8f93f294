from snnc_dropweak.drop_weak import DropWeak

from snnc.testing import assert_pass_contract


def test_drop_weak_fulfils_the_contract() -> None:
    assert_pass_contract(DropWeak(below=0.3))
