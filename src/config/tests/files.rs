use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config::checked::Config;
use crate::config::load;

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    folder
}

/// Loads the folder `p` of a folder, with `forebay.toml` beside it if it is there.
fn load_in(folder: &TempDir) -> Result<Config, String> {
    let node = folder.path().join("forebay.toml");
    let node = node.exists().then_some(node.as_path());
    let root = format!("{}/", folder.path().display());
    load(&[folder.path().join("p")], node, &env).map_err(|problems| problems.to_string().replace(&root, ""))
}

fn stream(name: &str) -> String {
    format!("[stream]\nname = {name:?}\ndurability = \"memory\"\n")
}

#[test]
fn a_folder_is_read_in_the_order_of_its_names_and_only_its_pipeline_files() {
    let folder = folder(&[
        ("p/b.toml", &stream("b")),
        ("p/a.toml", &stream("a")),
        ("p/forebay.toml", "not = a pipeline"),
        ("p/notes.txt", "not a pipeline"),
        ("p/deeper.toml/c.toml", "not looked for"),
    ]);
    let config = load_in(&folder).expect("no problem");
    let names: Vec<_> = config.pipelines.iter().map(|pipeline| pipeline.stream.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.pipelines[0].file, folder.path().join("p/a.toml"));
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let folder = folder(&[("p/a.toml", &stream("a"))]);
    let file = folder.path().join("p/a.toml");
    let config = load(&[folder.path().join("p"), file.clone(), file], None, &env).expect("no problem");
    assert_eq!(config.pipelines.len(), 1);
}

#[test]
fn files_that_cannot_be_read_are_reported_and_the_others_are_still_checked() {
    let folder = folder(&[("p/a.toml", "[stream]\n"), ("p/b.toml", "")]);
    fs::write(folder.path().join("p/b.toml"), b"[stream]\nname = \"\xff\"").expect("a file");
    fs::write(folder.path().join("p/c.toml"), vec![b'#'; (8 << 20) + 1]).expect("a file");
    let missing = folder.path().join("missing.toml");
    let root = format!("{}/", folder.path().display());
    let problems =
        load(&[folder.path().join("p"), missing.clone()], Some(&missing), &env).expect_err("problems");
    let said = problems.to_string().replace(&root, "");
    let heads: Vec<_> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        heads,
        [
            "missing.toml: cannot be read: No such file or directory (os error 2)",
            "p/a.toml:1:1: missing \"name\"",
            "p/b.toml:2:9: not valid UTF-8",
            "p/c.toml: is larger than 8MiB, which is the most that is read",
        ]
    );
}

#[test]
fn an_empty_folder_is_a_problem() {
    let folder = folder(&[("p/x.txt", "")]);
    assert_eq!(
        load_in(&folder).expect_err("a problem"),
        "p: no pipeline file (*.toml) in this folder\n  help: name the pipeline files or their folders: forebay serve PATH…"
    );
}

#[test]
fn a_stream_name_is_used_once_over_all_files_even_if_they_have_other_problems() {
    let folder = folder(&[
        ("p/a.toml", &stream("same")),
        ("p/b.toml", "\n[stream]\nshards = 0\nname = \"same\"\ndurability = \"memory\"\n"),
    ]);
    assert_eq!(
        load_in(&folder).expect_err("problems"),
        "p/b.toml:3:10: shards must be from 1 to 4096, found 0\n\
         p/b.toml:4:8: stream name \"same\" is used twice: it is also in p/a.toml:2\n  help: write another name"
    );
}

#[test]
fn two_deliveries_do_not_write_to_the_same_folder() {
    let delivery =
        |prefix: &str| format!("[[delivery]]\nname = \"d\"\nsink.path = \"/x\"\nprefix = {prefix:?}\n");
    let same = folder(&[
        ("p/a.toml", &(stream("a") + &delivery("{arrival_time:%Y}/"))),
        ("p/b.toml", &(stream("b") + &delivery("{arrival_time:%Y}/"))),
    ]);
    assert_eq!(
        load_in(&same).expect_err("a problem"),
        "p/b.toml:4:1: delivery \"d\" writes to the same sink and prefix as the delivery in p/a.toml:4\n  \
         help: give it another url or path, or another prefix, such as one that begins with {stream}/{delivery}/"
    );
    let apart = folder(&[
        ("p/a.toml", &(stream("a") + &delivery("{stream}/{arrival_time:%Y}/"))),
        ("p/b.toml", &(stream("b") + &delivery("{stream}/{arrival_time:%Y}/"))),
    ]);
    load_in(&apart).expect("no problem");
}

#[test]
fn the_bounds_of_the_node_hold_for_its_pipelines() {
    let folder = folder(&[
        (
            "forebay.toml",
            "memory_budget = \"32MiB\"\ndata_dir = \"/var/forebay\"\n[server]\nmax_body = \"512KiB\"\n",
        ),
        ("p/a.toml", &(stream("a") + "[[delivery]]\nname = \"d\"\n")),
        (
            "p/b.toml",
            &(stream("b")
                + "[ingest]\nmax_record = \"1MiB\"\n[[delivery]]\nname = \"d\"\nbuffer.size = \"17MiB\"\nsink.path = \"/lake\"\nsink.multipart = \"20MiB\"\n"),
        ),
    ]);
    assert_eq!(
        load_in(&folder).expect_err("problems"),
        "p/b.toml:5:14: max_record = 1MiB is more than the node's max_body = 512KiB: write at most 512KiB, or a larger max_body\n\
         p/b.toml:8:15: buffer.size = 17MiB is more than half the node's memory_budget = 32MiB: write at most 16MiB, or a larger memory_budget"
    );
    fs::remove_file(folder.path().join("p/b.toml")).expect("removed");
    let config = load_in(&folder).expect("no problem");
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.ingest.record_bytes_max, 512 << 10);
    assert_eq!(pipeline.deliveries[0].buffer.size_bytes, 8 << 20);
    assert_eq!(pipeline.deliveries[0].sink.url.as_str(), "file:///var/forebay/lake/a/d/");
}

#[test]
fn problems_of_the_node_and_of_pipelines_come_together() {
    let folder = folder(&[("forebay.toml", "x = 1\n"), ("p/a.toml", &(stream("a") + "x = 1\n"))]);
    let said = load_in(&folder).expect_err("problems");
    let heads: Vec<_> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        heads,
        [
            "forebay.toml:1:1: unknown key \"x\" at the top level",
            "p/a.toml:4:1: unknown key \"x\" in [stream]"
        ]
    );
}

#[test]
fn the_json_schema_is_read_beside_its_pipeline_and_problems_have_its_own_place() {
    let pipeline = stream("a") + "[ingest]\nschema = \"s/a.json\"\n";
    let with = |schema: &str| load_in(&folder(&[("p/a.toml", &pipeline), ("p/s/a.json", schema)]));
    let config = with("{\"type\": \"object\"}").expect("no problem");
    assert_eq!(config.pipelines[0].ingest.schema.as_deref(), Some(&serde_json::json!({"type": "object"})));
    for (schema, message) in [
        ("{\n  \"type\": \"object\",\n}", "p/s/a.json:3:1: not valid JSON: trailing comma"),
        ("", "p/s/a.json:1:1: not valid JSON: EOF while parsing a value"),
        ("{\"$schema\": \"urn:other\"}", "p/s/a.json: not a JSON Schema that is known: "),
        ("{\"$ref\": \"#/$defs/no\"}", "p/s/a.json: this JSON Schema cannot be used: "),
    ] {
        // What the libraries say behind it is theirs to word.
        let said = with(schema).expect_err("a problem");
        assert!(said.starts_with(message) && said.lines().count() == 1, "{schema}: {said}");
    }
    let broken = with("{\"type\": \"objct\", \"minLength\": -1}").expect_err("problems");
    assert_eq!(broken.matches("p/s/a.json: not a valid JSON Schema: at /").count(), 2, "{broken}");
    assert_eq!(
        load_in(&folder(&[("p/a.toml", &pipeline)])).expect_err("a problem"),
        "p/a.toml:5:10: JSON Schema \"s/a.json\": cannot be read: No such file or directory (os error 2)"
    );
    let misspelt = pipeline.replace("s/a.json", "infr");
    assert_eq!(
        load_in(&folder(&[("p/a.toml", &misspelt)])).expect_err("a problem"),
        "p/a.toml:5:10: JSON Schema \"infr\": cannot be read: No such file or directory (os error 2)\n  \
         help: did you mean schema = \"infer\", which has the columns learned from the records?"
    );
}

#[test]
fn columns_are_derived_where_parquet_needs_them_and_none_are_declared() {
    let parquet = "[ingest]\nschema = \"a.json\"\n[[delivery]]\nname = \"d\"\nformat = \"parquet\"\n";
    let with = |pipeline: &str, schema: &str| {
        load_in(&folder(&[("p/a.toml", &(stream("a") + pipeline)), ("p/a.json", schema)]))
    };
    let object = "{\"type\": \"object\", \"properties\": {\"id\": {\"type\": \"integer\"}}}";
    let config = with(parquet, object).expect("no problem");
    assert_eq!(config.pipelines[0].columns_source, Some(crate::config::checked::ColumnsSource::JsonSchema));
    let said = with(parquet, "{\"type\": \"string\"}").expect_err("a problem");
    assert!(said.starts_with("p/a.toml:5:10: no columns can be derived from the JSON Schema: "), "{said}");
    // JSON files need none.
    with(&parquet.replace("parquet", "json"), "{\"type\": \"string\"}").expect("no problem");
    // A schema that cannot be read is one problem, not two.
    assert_eq!(with(parquet, "{").expect_err("a problem").lines().count(), 1);
}

#[test]
fn a_node_file_that_is_named_must_be_there() {
    let folder = folder(&[("p/a.toml", &stream("a"))]);
    let said =
        load(&[folder.path().join("p")], Some(Path::new("no-such.toml")), &env).expect_err("a problem");
    assert_eq!(said.to_string(), "no-such.toml: cannot be read: No such file or directory (os error 2)");
}
