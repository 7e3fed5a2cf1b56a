import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.registry import Registry


def test_order_lookup_and_length():
    registry: Registry[int] = Registry("thing")
    registry.add("b", 2)
    registry.add("a", 1)
    assert registry.names() == ("b", "a")
    assert list(registry) == ["b", "a"]
    assert registry.items() == (("b", 2), ("a", 1))
    assert registry.get("a") == 1
    assert len(registry) == 2
    assert "a" in registry
    assert "c" not in registry


def test_register_returns_the_thing_it_registers():
    registry = Registry("function")

    @registry.register("double")
    def double(x):
        return 2 * x

    assert double(2) == 4
    assert registry.get("double") is double


def test_a_name_can_be_taken_once():
    registry: Registry[int] = Registry("thing")
    registry.add("a", 1)
    with pytest.raises(ValueError, match="'a'"):
        registry.add("a", 2)
    assert registry.get("a") == 1


def test_unknown_name_lists_the_known_ones():
    registry: Registry[int] = Registry("metric")
    registry.add("dice", 1)
    registry.add("hd95", 2)
    with pytest.raises(InputError) as caught:
        registry.get("disce")
    assert all(word in str(caught.value) for word in ("metric", "disce", "dice", "hd95"))
