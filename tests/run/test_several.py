import pytest

from maskwright.run.several import expanded


def of_run(*names: str, key: str = "evaluation_masks") -> list[str]:
    return [own for name in names for own in (f"+mask@{key}.{name}={name}", f"mask/ratio@{key}.{name}.ratio=bert")]


@pytest.mark.parametrize(
    ("command", "argument", "expected"),
    [
        ("train", "evaluation_masks=[token,span]", of_run("token", "span")),
        ("train", "evaluation_masks=token", of_run("token")),
        ("train", "evaluation_masks=[]", ["evaluation_masks=[]"]),
        ("train", "evaluation_masks.span.ratio=0.4", ["evaluation_masks.span.ratio=0.4"]),
        ("train", "data=imdb", ["data=imdb"]),
        ("evaluate", "masks=token, span,token", of_run("token", "span", key="masks")),
        ("evaluate", "data=imdb", ["data=imdb"]),
        ("evaluate", "data=null", ["data=null"]),
        ("evaluate", "data=imdb,wikipedia", ["+data@data.imdb=imdb", "+data@data.wikipedia=wikipedia"]),
        ("evaluate", "data=[imdb]", ["+data@data.imdb=imdb"]),
        ("evaluate", "ratios=0.15,0.4", ["ratios=[0.15,0.4]"]),
        ("evaluate", "ratios=[0.15,0.4]", ["ratios=[0.15,0.4]"]),
        ("evaluate", "ratios=0.4", ["ratios=0.4"]),
    ],
)
def test_lists_need_no_brackets(command, argument, expected):
    assert expanded([argument], command) == expected


def test_the_data_of_a_sweep_stays():
    arguments = ["-m", "data=imdb,wikipedia", "masks=token,span"]
    assert expanded(arguments, "evaluate") == [*arguments[:2], *of_run("token", "span", key="masks")]
