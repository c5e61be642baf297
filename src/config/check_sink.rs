//! `sink` of a delivery: raw → checked.

use std::collections::BTreeMap;
use std::path::Path;

use url::Url;

use super::checked::ObjectSink;
use super::checker::Checker;
use super::limits;
use super::raw::SinkTable;
use super::secret::Secret;

/// The environment, as `main` hands it in.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

const FORMS: &str = "write url = \"s3://BUCKET/PREFIX/\" (or gs://, az://, file:///FOLDER/), path = \"FOLDER\", or kafka = \"CLUSTER\"";

/// What a store takes from the environment, where its name in lower case is that of the store's setting.
const AWS_ROLE: [&str; 6] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
const GOOGLE: [&str; 3] =
    ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"];
const AZURE: [&str; 6] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_TENANT_ID",
];

/// The sink at `path`; `None` where a problem was added.
pub(super) fn check_sink(
    raw: SinkTable,
    path: &str,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<ObjectSink> {
    let multipart_bytes = checker.size_within(
        &format!("{path}.multipart"),
        raw.multipart.as_deref(),
        limits::MULTIPART_BYTES_DEFAULT,
        limits::MULTIPART_BYTES_RANGE,
    );
    let keys = StoreKeys { url: "url", forms: FORMS, what: "sink" };
    let (url, options) = check_store(&raw, keys, path, env, checker)?;
    Some(ObjectSink { url, options, multipart_bytes: multipart_bytes? })
}

/// What the settings of a store are called in messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreKeys {
    /// The key of its URL.
    pub url: &'static str,
    /// How that may be written.
    pub forms: &'static str,
    /// What is in it.
    pub what: &'static str,
}

/// The URL and the options of a store whose settings are at `path`; `None` where a problem was added.
pub(super) fn check_store(
    raw: &SinkTable,
    keys: StoreKeys,
    path: &str,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<(Url, BTreeMap<String, String>)> {
    let url = check_place(raw, keys, path, checker)?;
    let options = match url.scheme() {
        "s3" => s3_options(raw, &url, path, env, checker),
        scheme => {
            let refused = refuse_s3_keys(raw, scheme, (path, keys.what), checker);
            let names: &[&str] = match scheme {
                "gs" => &GOOGLE,
                "az" => &AZURE,
                _ => &[],
            };
            let options = from_environment(names, env);
            if scheme == "az" && !options.contains_key("azure_storage_account_name") {
                let message =
                    format!("an az:// {} needs AZURE_STORAGE_ACCOUNT_NAME in the environment", keys.what);
                checker.problem(&format!("{path}.{}", keys.url), message);
                return None;
            }
            (!refused).then_some(options)
        }
    };
    Some((url, options?))
}

/// The sink of a delivery that names none.
pub(super) fn folder_sink(folder: &Path, path: &str, checker: &mut Checker<'_>) -> Option<ObjectSink> {
    let url = folder_url(folder, path, checker)?;
    Some(ObjectSink { url, options: BTreeMap::new(), multipart_bytes: limits::MULTIPART_BYTES_DEFAULT })
}

/// `url` or `path`, as a URL that ends with a slash.
fn check_place(raw: &SinkTable, keys: StoreKeys, path: &str, checker: &mut Checker<'_>) -> Option<Url> {
    match (&raw.url, &raw.path) {
        (Some(_), Some(_)) => {
            checker.problem(&format!("{path}.path"), "a sink has either url or path, not both");
            None
        }
        (Some(text), None) => check_url(text, keys, &format!("{path}.{}", keys.url), checker),
        (None, Some(folder)) if folder.is_empty() => {
            checker.problem_with_help(&format!("{path}.path"), "path must not be empty", FORMS);
            None
        }
        (None, Some(folder)) => folder_url(Path::new(folder), &format!("{path}.path"), checker),
        (None, None) => {
            // One of a wrong type, or of a later version, has been reported.
            let given = ["url", "path"].iter().any(|key| checker.document.has(&format!("{path}.{key}")));
            if !given {
                checker.problem_with_help(path, "a sink needs url, path or kafka", FORMS);
            }
            None
        }
    }
}

fn folder_url(folder: &Path, path: &str, checker: &mut Checker<'_>) -> Option<Url> {
    let url = std::path::absolute(folder).ok().and_then(|folder| Url::from_directory_path(folder).ok());
    // Parsed once more so that `..` is resolved as in any other URL.
    let url = url.and_then(|url| Url::parse(url.as_str()).ok());
    if url.is_none() {
        checker.problem(path, "this folder cannot be made an absolute path");
    }
    url
}

/// Problems never quote a URL: there may be credentials in it.
fn check_url(text: &str, keys: StoreKeys, path: &str, checker: &mut Checker<'_>) -> Option<Url> {
    let (forms, is_sink) = (keys.forms, keys.url == "url");
    let Ok(mut url) = Url::parse(text) else {
        let is_path = is_sink && !text.contains(':');
        let help = if is_path { "write path = \"FOLDER\" for a folder in the file system" } else { forms };
        checker.problem_with_help(path, format!("{} is no URL", keys.url), help);
        return None;
    };
    let wrong = match url.scheme() {
        "s3" | "gs" | "az" if url.host_str().is_none_or(str::is_empty) => {
            Some(("the URL has no bucket", forms))
        }
        "s3" | "gs" | "az" => None,
        "file" if !text.starts_with("file:///") => Some((
            "a file URL begins with file:/// and an absolute folder",
            if is_sink {
                "write path = \"FOLDER\" for one that counts from the working folder"
            } else {
                forms
            },
        )),
        "file" => None,
        "kafka" if !is_sink => Some(("ledgers are not kept in Kafka", forms)),
        "kafka" => Some(("a Kafka cluster has no URL", "write kafka = \"CLUSTER\" and topic = \"TOPIC\"")),
        "http" | "https" => Some((
            "an http URL is the endpoint of a store, not a place in it",
            if is_sink {
                "write url = \"s3://BUCKET/PREFIX/\" and endpoint = \"http://HOST:PORT\""
            } else {
                forms
            },
        )),
        _ => Some(("the URL's scheme is not known", forms)),
    };
    let wrong = wrong.or_else(|| credentials_in(&url));
    if let Some((message, help)) = wrong {
        checker.problem_with_help(path, message, help);
        return None;
    }
    if !url.path().ends_with('/') {
        let folder = format!("{}/", url.path());
        url.set_path(&folder);
    }
    Some(url)
}

fn credentials_in(url: &Url) -> Option<(&'static str, &'static str)> {
    if !url.username().is_empty() || url.password().is_some() {
        return Some((
            "a URL must not hold credentials",
            "write access_key_id = \"${NAME}\" and secret_access_key = \"${NAME}\"",
        ));
    }
    let more = url.query().is_some() || url.fragment().is_some();
    more.then_some(("a URL must not have a query or a fragment", "write '?' as %3F and '#' as %23"))
}

fn refuse_s3_keys(
    raw: &SinkTable,
    scheme: &str,
    (path, what): (&str, &str),
    checker: &mut Checker<'_>,
) -> bool {
    let given = [
        ("endpoint", raw.endpoint.is_some()),
        ("region", raw.region.is_some()),
        ("access_key_id", raw.access_key_id.is_some()),
        ("secret_access_key", raw.secret_access_key.is_some()),
        ("path_style", raw.path_style.is_some()),
        ("allow_http", raw.allow_http.is_some()),
    ];
    let mut refused = false;
    for (key, _) in given.into_iter().filter(|&(_, given)| given) {
        refused = true;
        checker.problem(&format!("{path}.{key}"), format!("{key} is for s3:// {what}s, not for {scheme}://"));
    }
    refused
}

fn from_environment(names: &[&str], env: Env<'_>) -> BTreeMap<String, String> {
    let set = |&name: &&str| env(name).filter(|value| !value.is_empty());
    names.iter().filter_map(|name| Some((name.to_lowercase(), set(name)?))).collect()
}

fn s3_options(
    raw: &SinkTable,
    url: &Url,
    path: &str,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<BTreeMap<String, String>> {
    let options = s3_credentials(raw, path, env, checker);
    let first_of = |names: &[&str]| names.iter().find_map(|name| env(name).filter(|text| !text.is_empty()));
    let given = raw.endpoint.clone();
    let place = if given.is_some() { format!("{path}.endpoint") } else { path.to_owned() };
    let endpoint = given.or_else(|| first_of(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
    let endpoint = match endpoint {
        Some(text) => Some(check_endpoint(&text, &place, checker)?),
        None => None,
    };
    let path_style = raw.path_style.unwrap_or(endpoint.is_some());
    let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
    let allow_http = raw.allow_http.unwrap_or(plain);
    if plain && !allow_http {
        checker.problem(
            &format!("{path}.allow_http"),
            "allow_http = false, but the endpoint begins with http://: write true, or an endpoint with https://",
        );
        return None;
    }
    let mut options = options?;
    let region = raw.region.clone().or_else(|| first_of(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
    if let Some(region) = region {
        options.insert("aws_region".to_owned(), region);
    }
    options.insert("aws_virtual_hosted_style_request".to_owned(), (!path_style).to_string());
    options.insert("aws_allow_http".to_owned(), allow_http.to_string());
    if let Some(mut endpoint) = endpoint {
        // The store's client takes an endpoint of this style with the bucket already in it.
        if !path_style && let (Some(bucket), Some(host)) = (url.host_str(), endpoint.host_str()) {
            let host = format!("{bucket}.{host}");
            if endpoint.set_host(Some(&host)).is_err() {
                checker.problem(
                    &place,
                    "the bucket cannot stand in this endpoint's host name: write path_style = true",
                );
                return None;
            }
        }
        options.insert("aws_endpoint".to_owned(), endpoint.as_str().trim_end_matches('/').to_owned());
    }
    Some(options)
}

/// Keys of the file, or else of the environment, or else what tells the machine's role.
fn s3_credentials(
    raw: &SinkTable,
    path: &str,
    env: Env<'_>,
    checker: &mut Checker<'_>,
) -> Option<BTreeMap<String, String>> {
    const ID: &str = "aws_access_key_id";
    const SECRET: &str = "aws_secret_access_key";
    let pair = |id: &Secret, secret: &Secret| {
        BTreeMap::from([
            (ID.to_owned(), id.reveal().to_owned()),
            (SECRET.to_owned(), secret.reveal().to_owned()),
        ])
    };
    let (given, missing) = match (&raw.access_key_id, &raw.secret_access_key) {
        (Some(id), Some(secret)) => return Some(pair(id, secret)),
        (None, None) => {
            let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
            let options = from_environment(&keys, env);
            let complete = options.contains_key(ID) && options.contains_key(SECRET);
            return Some(if complete { options } else { from_environment(&AWS_ROLE, env) });
        }
        (Some(_), None) => ("access_key_id", "secret_access_key"),
        (None, Some(_)) => ("secret_access_key", "access_key_id"),
    };
    // One that is in the file with a wrong type has been reported.
    if !checker.document.has(&format!("{path}.{missing}")) {
        let help = format!("write {missing} = \"${{NAME}}\" too, or leave both to the environment");
        checker.problem_with_help(
            &format!("{path}.{given}"),
            format!("{given} is given without {missing}"),
            help,
        );
    }
    None
}

fn check_endpoint(text: &str, path: &str, checker: &mut Checker<'_>) -> Option<Url> {
    const HELP: &str = "write endpoint = \"http://HOST:PORT\" or \"https://HOST\"";
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        let from =
            if path.ends_with("endpoint") { "endpoint" } else { "AWS_ENDPOINT_URL of the environment" };
        checker.problem_with_help(path, format!("{from} is no http or https URL"), HELP);
        return None;
    };
    if let Some((message, help)) = credentials_in(&url) {
        checker.problem_with_help(path, message, help);
        return None;
    }
    Some(url)
}
