def test_a(tables, spark, tmp_path):
    print(spark.version, tables.location("images"))
    assert tables.read("images").count() == 0
