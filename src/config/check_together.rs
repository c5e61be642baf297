//! What only shows when all files are looked at together.

use std::collections::HashMap;
use std::path::PathBuf;

use super::check_firehose::MADE_NAME_PREFIX;
use super::check_pipeline::CheckedFile;
use super::checked::Delivery;
use super::document::Document;
use super::problem::Problem;

/// Where something was seen first.
struct First {
    file: PathBuf,
    line: usize,
}

impl First {
    fn of(document: &Document, path: &str) -> Self {
        Self { file: document.file().to_owned(), line: document.place_of(path).0 }
    }
}

/// Stream names are unique, and no two deliveries write to the same folder.
pub(super) fn check_together(files: &[(Document, CheckedFile)], problems: &mut Vec<Problem>) {
    let mut streams: HashMap<&str, First> = HashMap::new();
    files.iter().for_each(|(document, checked)| refuse_made_names(document, checked, problems));
    let mut folders: HashMap<String, First> = HashMap::new();
    for (document, checked) in files {
        if let Some(name) = checked.stream_name.as_deref() {
            let path = "stream.name";
            if let Some(First { file, line }) = streams.get(name) {
                let quoted = document.written(path).unwrap_or(name);
                let file = file.display();
                let message = format!("stream name {quoted:?} is used twice: it is also in {file}:{line}");
                problems.push(document.problem(path, message).with_help("write another name"));
            } else {
                streams.insert(name, First::of(document, path));
            }
        }
        for (path, delivery) in &checked.deliveries {
            let folder = folder_of(checked.stream_name.as_deref().unwrap_or_default(), delivery);
            if let Some(First { file, line }) = folders.get(&folder) {
                let message = format!(
                    "delivery {:?} writes to the same sink and prefix as the delivery in {}:{line}",
                    delivery.name,
                    file.display()
                );
                let help = "give it another url or path, or another prefix, such as one that begins with {stream}/{delivery}/";
                problems.push(document.problem(path, message).with_help(help));
            } else {
                folders.insert(folder, First::of(document, path));
            }
        }
    }
}

/// Names that delivery streams of the Firehose API have.
fn refuse_made_names(document: &Document, checked: &CheckedFile, problems: &mut Vec<Problem>) {
    let files = checked.deliveries.iter().map(|(path, delivery)| (path, delivery.name.as_str()));
    let fan_outs = checked.fan_outs.iter().map(|(path, fan_out)| (path, fan_out.name.as_str()));
    let deliveries = files.chain(fan_outs).map(|(path, name)| (format!("{path}.name"), name));
    let stream = checked.stream_name.as_deref().map(|name| ("stream.name".to_owned(), name));
    for (path, name) in stream.into_iter().chain(deliveries) {
        if name.starts_with(MADE_NAME_PREFIX) {
            let message = format!(
                "names that begin with {MADE_NAME_PREFIX:?} are those of delivery streams that are made over the Firehose API"
            );
            problems.push(document.problem(&path, message).with_help("write another name"));
        }
    }
}

/// Equal for two deliveries whose files would lie side by side. What differs with the record or the time is left as
/// it is written.
fn folder_of(stream: &str, delivery: &Delivery) -> String {
    let prefix = delivery.prefix.as_str().replace("{stream}", stream).replace("{delivery}", &delivery.name);
    format!("{}{prefix}", delivery.sink.url)
}
