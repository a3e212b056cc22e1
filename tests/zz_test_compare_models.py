from tests.test_documentation import *
def test_compare(spark, lake, capsys):
    shell = Shell(lake)
    run_page(ROOT/"docs"/"howto"/"compare-models.md", spark, shell, {"spark": spark})
    with capsys.disabled():
        print(capsys.readouterr().out[-3000:])
