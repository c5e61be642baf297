//! Pages and pictures, written to files.

use std::path::Path;

use forebay_load::compare;
use forebay_load::plot::svg::escape;
use forebay_load::ramp::Found;
use forebay_load::record::Record;
use forebay_load::report::{page, picture, plots};

use crate::cli::{CompareArgs, ReportArgs};
use crate::{Failure, print};

/// `report`.
pub fn records(args: &ReportArgs) -> Result<bool, Failure> {
    let (mut body, mut groups) = (String::new(), Vec::new());
    for path in &args.records {
        let record = Record::read(path)?;
        let name = name(path, &record);
        let drawn = plots::plots(&[(name.clone(), &record)]);
        body.push_str(&page::run(&name, &record, &drawn));
        groups.push((name, drawn));
    }
    if let Some(path) = &args.html {
        write(path, page::page("Load on Forebay", &body).as_bytes())?;
    }
    if let Some(path) = &args.png {
        write(path, &picture::picture(&groups)?)?;
    }
    Ok(true)
}

/// `compare`.
pub fn comparison(args: &CompareArgs) -> Result<bool, Failure> {
    let (a, b) = (Record::read(&args.a)?, Record::read(&args.b)?);
    let (name_a, name_b) = (name(&args.a, &a), name(&args.b, &b));
    let comparison = compare::compare((&name_a, &a), (&name_b, &b));
    let drawn = plots::plots(&[("A".to_owned(), &a), ("B".to_owned(), &b)]);
    if let Some(path) = &args.html {
        let mut body = format!("<p>A: {}<br>B: {}</p>\n", escape(&name_a), escape(&name_b));
        for line in comparison.differing() {
            body.push_str(&format!("<p class=\"note\">{}</p>\n", escape(&line)));
        }
        body.push_str(&page::table(&comparison.table()));
        body.push_str(&page::plots(&drawn));
        write(path, page::page("Two runs on Forebay", &body).as_bytes())?;
    }
    if let Some(path) = &args.png {
        write(path, &picture::picture(&[(format!("A: {name_a}   B: {name_b}"), drawn)])?)?;
    }
    print(args.json.as_deref(), &comparison, &comparison.to_string())?;
    Ok(!(args.fail_if_worse && comparison.is_worse()))
}

/// The page of `run --ramp`.
pub fn ramp(path: &Path, name: &str, found: &Found) -> Result<(), Failure> {
    let mut body = format!("<p>{}</p>\n", escape(&found.sentence()));
    body.push_str(&page::table(&found.table()));
    body.push_str(&page::plots(&found.plots()));
    if let Some(record) = &found.record {
        let drawn = plots::plots(&[(name.to_owned(), record)]);
        body.push_str(&page::run(name, record, &drawn));
    }
    write(path, page::page("Ramp to saturation", &body).as_bytes())
}

fn name(path: &Path, record: &Record) -> String {
    format!("{} ({})", record.report.settings.run_name, path.display())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    Ok(std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))?)
}
