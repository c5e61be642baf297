use std::collections::BTreeMap;

use super::*;
use crate::config::checked::ObjectSink;

fn text(sink: &str) -> String {
    format!("{STREAM}[[delivery]]\nname = \"d\"\nsink = {sink}")
}

fn sink_with(sink: &str, env: &dyn Fn(&str) -> Option<String>) -> ObjectSink {
    let (checked, problems) = checked_from(&text(sink), env);
    assert_eq!(printed(&problems), "");
    checked.pipeline.expect("a pipeline without problems").deliveries.remove(0).sink
}

fn sink(sink: &str) -> ObjectSink {
    sink_with(sink, &|_| None)
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_folder_becomes_an_absolute_url_with_a_slash_at_its_end() {
    let relative = sink("{ path = \"out/./x/../lake files\" }").url;
    let here = std::env::current_dir().expect("a working folder");
    let expected = url::Url::from_directory_path(here.join("out/lake files")).expect("a URL");
    assert_eq!(relative, expected);
    assert_eq!(sink("{ path = \"/srv/lake/\" }").url.as_str(), "file:///srv/lake/");
    assert_eq!(sink("{ url = \"file:///srv/lake\" }").url.as_str(), "file:///srv/lake/");
    assert_eq!(sink("{ url = \"s3://lake\" }").url.as_str(), "s3://lake/");
    assert_eq!(sink("{ url = \"s3://lake/a\" }").url.as_str(), "s3://lake/a/");
}

#[test]
fn an_endpoint_sets_path_style_and_plain_http() {
    let sink = sink(
        r#"{ url = "s3://lake/a/", endpoint = "http://127.0.0.1:9000/", region = "eu-1", access_key_id = "me", secret_access_key = "hunter2" }"#,
    );
    assert_eq!(
        sink.options,
        options(&[
            ("aws_access_key_id", "me"),
            ("aws_secret_access_key", "hunter2"),
            ("aws_region", "eu-1"),
            ("aws_endpoint", "http://127.0.0.1:9000"),
            ("aws_allow_http", "true"),
            ("aws_virtual_hosted_style_request", "false"),
        ])
    );
}

#[test]
fn the_bucket_goes_into_the_host_name_where_it_is_not_to_stand_in_the_path() {
    let sink = sink(r#"{ url = "s3://lake/", endpoint = "https://store.example", path_style = false }"#);
    assert_eq!(sink.options.get("aws_endpoint").map(String::as_str), Some("https://lake.store.example"));
    assert_eq!(sink.options.get("aws_virtual_hosted_style_request").map(String::as_str), Some("true"));
}

#[test]
fn keys_come_from_the_environment_where_the_file_has_none() {
    let env = |name: &str| {
        let value = match name {
            "AWS_ACCESS_KEY_ID" => "env-id",
            "AWS_SECRET_ACCESS_KEY" => "env-secret",
            "AWS_SESSION_TOKEN" => "env-token",
            "AWS_DEFAULT_REGION" => "env-region",
            "AWS_ENDPOINT_URL" => "http://store:9000",
            "AWS_ROLE_ARN" => "arn",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let place = [
        ("aws_region", "env-region"),
        ("aws_endpoint", "http://store:9000"),
        ("aws_allow_http", "true"),
        ("aws_virtual_hosted_style_request", "false"),
    ];
    let keys = [
        ("aws_access_key_id", "env-id"),
        ("aws_secret_access_key", "env-secret"),
        ("aws_session_token", "env-token"),
    ];
    assert_eq!(
        sink_with("{ url = \"s3://lake/\" }", &env).options,
        options(&[&place[..], &keys[..]].concat())
    );
    // A token of the environment does not go with keys of the file.
    let own = r#"{ url = "s3://lake/", access_key_id = "a", secret_access_key = "b" }"#;
    let keys = [("aws_access_key_id", "a"), ("aws_secret_access_key", "b")];
    assert_eq!(sink_with(own, &env).options, options(&[&place[..], &keys[..]].concat()));
    // Nothing of it goes to other stores.
    assert_eq!(sink_with("{ path = \"x\" }", &env).options, options(&[]));
}

#[test]
fn without_keys_the_role_of_the_machine_is_taken_over() {
    let env = |name: &str| (name == "AWS_ROLE_ARN").then(|| "arn".to_owned());
    let sink = sink_with("{ url = \"s3://lake/\" }", &env);
    assert_eq!(
        sink.options,
        options(&[
            ("aws_role_arn", "arn"),
            ("aws_allow_http", "false"),
            ("aws_virtual_hosted_style_request", "true"),
        ])
    );
}

#[test]
fn other_clouds_take_theirs_from_the_environment() {
    let env = |name: &str| match name {
        "GOOGLE_APPLICATION_CREDENTIALS" => Some("/keys.json".to_owned()),
        "AZURE_STORAGE_ACCOUNT_NAME" => Some("account".to_owned()),
        _ => None,
    };
    let google = sink_with("{ url = \"gs://lake/a\" }", &env);
    assert_eq!(google.options, options(&[("google_application_credentials", "/keys.json")]));
    let azure = sink_with("{ url = \"az://lake/a\" }", &env);
    assert_eq!(azure.options, options(&[("azure_storage_account_name", "account")]));
}

#[test]
fn the_names_of_the_settings_are_those_of_the_store() {
    use object_store::aws::AmazonS3ConfigKey;
    let env = |name: &str| name.starts_with("AWS_").then(|| "http://x".to_owned());
    let with_keys = sink_with("{ url = \"s3://lake/\" }", &env).options;
    let role = |name: &str| env(name).filter(|_| !name.contains("KEY"));
    let with_role = sink_with("{ url = \"s3://lake/\" }", &role).options;
    assert_eq!((with_keys.len(), with_role.len()), (7, 10));
    for name in with_keys.keys().chain(with_role.keys()) {
        name.parse::<AmazonS3ConfigKey>().expect(name);
    }
    let env = |_: &str| Some("x".to_owned());
    for name in sink_with("{ url = \"gs://lake/\" }", &env).options.keys() {
        name.parse::<object_store::gcp::GoogleConfigKey>().expect(name);
    }
    for name in sink_with("{ url = \"az://lake/\" }", &env).options.keys() {
        name.parse::<object_store::azure::AzureConfigKey>().expect(name);
    }
}

#[test]
fn every_wrong_sink_is_refused_without_showing_it() {
    let forms = "\n  help: write url = \"s3://BUCKET/PREFIX/\" (or gs://, az://, file:///FOLDER/), path = \"FOLDER\", or kafka = \"CLUSTER\"";
    let own = "\n  help: write access_key_id = \"${NAME}\" and secret_access_key = \"${NAME}\"";
    let endpoint = "\n  help: write endpoint = \"http://HOST:PORT\" or \"https://HOST\"";
    for (sink, message) in [
        ("{}", format!("5:8: a sink needs url, path or kafka{forms}")),
        ("{ url = \"s3://b/\", path = \"x\" }", "5:34: a sink has either url or path, not both".to_owned()),
        ("{ path = \"\" }", format!("5:17: path must not be empty{forms}")),
        (
            "{ url = \"data/hunter2\" }",
            "5:16: url is no URL\n  help: write path = \"FOLDER\" for a folder in the file system".to_owned(),
        ),
        (
            "{ url = \"file:data/hunter2\" }",
            "5:16: a file URL begins with file:/// and an absolute folder\n  help: write path = \"FOLDER\" for one that counts from the working folder".to_owned(),
        ),
        ("{ url = \"s3:///hunter2\" }", format!("5:16: the URL has no bucket{forms}")),
        ("{ url = \"s3://me:hunter2@b/\" }", format!("5:16: a URL must not hold credentials{own}")),
        (
            "{ url = \"s3://b/?key=hunter2\" }",
            "5:16: a URL must not have a query or a fragment\n  help: write '?' as %3F and '#' as %23".to_owned(),
        ),
        (
            "{ url = \"http://hunter2/\" }",
            "5:16: an http URL is the endpoint of a store, not a place in it\n  help: write url = \"s3://BUCKET/PREFIX/\" and endpoint = \"http://HOST:PORT\"".to_owned(),
        ),
        ("{ url = \"kafka://hunter2\" }", "5:16: a Kafka cluster has no URL\n  help: write kafka = \"CLUSTER\" and topic = \"TOPIC\"".to_owned()),
        ("{ url = \"ftp://hunter2/\" }", format!("5:16: the URL's scheme is not known{forms}")),
        ("{ path = \"x\", region = \"hunter2\" }", "5:31: region is for s3:// sinks, not for file://".to_owned()),
        ("{ url = \"s3://b/\", endpoint = \"hunter2\" }", format!("5:38: endpoint is no http or https URL{endpoint}")),
        ("{ url = \"s3://b/\", endpoint = \"http://hunter2@h\" }", format!("5:38: a URL must not hold credentials{own}")),
        (
            "{ url = \"s3://b/\", endpoint = \"http://h\", allow_http = false }",
            "5:63: allow_http = false, but the endpoint begins with http://: write true, or an endpoint with https://".to_owned(),
        ),
        (
            "{ url = \"s3://b/\", access_key_id = \"hunter2\" }",
            "5:43: access_key_id is given without secret_access_key\n  help: write secret_access_key = \"${NAME}\" too, or leave both to the environment".to_owned(),
        ),
        (
            "{ url = \"s3://b/\", access_key_id = \"hunter2\", secret_access_key = 1 }",
            "5:74: \"secret_access_key\" must be a string such as \"${LAKE_SECRET}\", found an integer".to_owned(),
        ),
        (
            "{ url = \"s3://b/\", access_key_id = \"a\", secret_access_key = \"${hunter2\" }",
            "5:68: '${' without a '}' behind it: write ${NAME}, or $${ for a literal ${".to_owned(),
        ),
        (
            "{ url = \"s3://b/\", access_key_id = \"a\", endpoint = \"hunter2\" }",
            format!("5:43: access_key_id is given without secret_access_key\n  help: write secret_access_key = \"${{NAME}}\" too, or leave both to the environment\np.toml:5:59: endpoint is no http or https URL{endpoint}"),
        ),
        ("{ url = \"az://c/\" }", "5:16: an az:// sink needs AZURE_STORAGE_ACCOUNT_NAME in the environment".to_owned()),
        ("{ path = \"x\", multipart = \"1MiB\" }", "5:34: multipart must be from 5MiB to 5GiB, found 1MiB".to_owned()),
        (
            "{ url = \"s3://b/\", endpiont = \"hunter2\" }",
            "5:27: unknown key \"endpiont\" in delivery.sink: did you mean \"endpoint\"?".to_owned(),
        ),
        ("\"s3://hunter2/\"", "5:8: \"sink\" must be a table, found a string".to_owned()),
    ] {
        let said = complaints(&text(sink));
        assert_eq!(said, format!("p.toml:{message}"), "{sink}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn an_endpoint_of_the_environment_is_checked_as_well() {
    let env = |name: &str| (name == "AWS_ENDPOINT_URL").then(|| "hunter2".to_owned());
    let (_, problems) = checked_from(&text("{ url = \"s3://b/\" }"), &env);
    assert_eq!(
        printed(&problems),
        "p.toml:5:8: AWS_ENDPOINT_URL of the environment is no http or https URL\n  help: write endpoint = \"http://HOST:PORT\" or \"https://HOST\""
    );
}

#[test]
fn secrets_are_in_no_debug_text() {
    let sink = r#"{ url = "s3://b/", access_key_id = "hunter2", secret_access_key = "${SECRET}" }"#;
    let pipeline = pipeline(&text(sink));
    assert!(pipeline.deliveries[0].sink.options.values().any(|value| value == "hunter2"));
    assert!(!format!("{pipeline:?}").contains("hunter2"));
    let raw: crate::config::raw::SinkTable =
        serde_json::from_str(r#"{"access_key_id": "hunter2", "secret_access_key": "hunter2"}"#)
            .expect("a sink");
    assert!(!format!("{raw:?}").contains("hunter2"));
}
