//! The pipelines that are shipped, with the samples that are shipped and with what the load generator sends.

use std::path::Path;
use std::sync::Arc;

use forebay::runtime::clock::UnixMicros;
use forebay::testkit::generators::{Generator, KeyPicker, Profile, Settings};

use crate::lake;
use crate::server::Setup;

/// Records that the load generator would send.
fn generated(profile: Profile, count: usize) -> String {
    let keys = Arc::new(KeyPicker::new(100, 1.0).unwrap());
    let mut generator =
        Generator::new(&Settings { profile, seed: 3, keys, record_bytes: 0 }, "test/shipped/0").unwrap();
    let mut lines = Vec::new();
    for step in 0..count {
        generator.append(UnixMicros(1_770_000_000_000_000 + step as i64 * 1_000_000), &mut lines);
        lines.push(b'\n');
    }
    String::from_utf8(lines).unwrap()
}

#[tokio::test]
async fn shipped_pipelines_deliver_the_samples_and_generated_load_without_a_dead_letter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let profiles = [Profile::Clickstream, Profile::Iot, Profile::Telemetry];
    let mut setup = Setup::default();
    for name in profiles.map(|profile| profile.name()) {
        let schema = format!("{name}.schema.json");
        setup = setup.and_pipeline(name, read(&format!("{name}.toml"))).file(&schema, read(&schema));
    }
    let server = setup.start();
    for profile in profiles {
        let name = profile.name();
        let sample = read(&format!("samples/{name}.ndjson"));
        assert_eq!(server.accept(name, sample.clone()).await, sample.lines().count() as u64);
        assert_eq!(server.accept(name, generated(profile, 1_000)).await, 1_000);
    }
    let stopped = server.stop();
    stopped.assert_drained();
    for name in profiles.map(|profile| profile.name()) {
        let line = format!("{name}/parquet: accepted 1020 = delivered 1020 + dead-lettered 0");
        assert!(stopped.stdout.contains(&line), "{}", stopped.stdout);
        assert_eq!(lake::gunzip_all(&stopped.path(&format!("data/lake/{name}/json"))).len(), 1_020);
        assert!(!lake::files(&stopped.path(&format!("data/lake/{name}/parquet")), ".parquet").is_empty());
    }
}

/// The text of all sources below a folder.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn each_line_of_the_threat_model_names_a_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let code = sources(&root.join("src")) + &sources(&root.join("tests"));
    let is_shown = |line: &&str| line.starts_with('|') && !line.contains("---") && !line.contains("shown by");
    let mut tables = page.split("shown by |").skip(1).flat_map(|table| {
        table.lines().skip(1).take_while(|line| line.starts_with('|')).filter(is_shown).collect::<Vec<_>>()
    });
    let mut lines = 0;
    tables
        .try_for_each(|line| {
            let last = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let names: Vec<_> = last.split('`').skip(1).step_by(2).collect();
            lines += 1;
            match names.iter().find(|name| !code.contains(&format!("fn {name}("))) {
                None if !names.is_empty() => Ok(()),
                missing => Err(format!("{line}: {missing:?}")),
            }
        })
        .unwrap();
    assert!(lines > 20, "{lines}");
}
