//! The pipelines that are shipped run as they are.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::checked::{Config, Demand, Format, OnInvalid};
use crate::config::load;
use crate::edge::identity::policy::Action;
use crate::edge::identity::principal::IdentityKind;

fn shipped() -> Config {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    load(&[folder], None, &|_| None).expect("the shipped pipelines have no problem")
}

#[test]
fn the_shipped_node_lets_in_who_has_its_key_and_does_not_start_without_one() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let node = |env: &dyn Fn(&str) -> Option<String>| {
        load(&[deploy.join("pipelines")], Some(&deploy.join("forebay.toml")), env)
    };
    let auth =
        node(&|name| (name == "FOREBAY_API_KEY").then(|| "0123456789abcdef".to_owned())).unwrap().node.auth;
    for action in Action::ALL {
        assert_eq!(*auth.demand(action), Demand::AnyOf(vec![IdentityKind::ApiKey]));
        assert!(auth.api_keys[0].policy.permits(action, Some("events")));
    }
    let said = node(&|_| None).unwrap_err().to_string();
    assert!(said.contains("FOREBAY_API_KEY"), "{said}");
}

#[test]
fn the_three_shipped_pipelines_need_no_setup() {
    let config = shipped();
    let names: Vec<_> = config.pipelines.iter().map(|pipeline| pipeline.stream.name.as_str()).collect();
    assert_eq!(names, ["clickstream", "iot", "telemetry"]);
    for pipeline in &config.pipelines {
        let name = &pipeline.stream.name;
        assert!(pipeline.ingest.schema.is_some(), "{name}");
        let [parquet, json] = pipeline.deliveries.as_slice() else { panic!("{name} has two deliveries") };
        assert!(matches!(parquet.format, Format::Parquet(_)) && parquet.event_time.is_some(), "{name}");
        assert!(matches!(json.format, Format::Json(_)), "{name}");
        for delivery in [parquet, json] {
            let folder = format!("/data/lake/{name}/{}/", delivery.name);
            assert!(delivery.sink.url.path().ends_with(&folder), "{}", delivery.sink.url);
        }
    }
    assert_eq!(config.pipelines[1].ingest.on_invalid, OnInvalid::DeadLetter);
}

/// One record of each kind, with all that the load generator sends.
fn samples() -> [Value; 3] {
    let envelope = json!({"producer": "load-1", "sequence": 0, "hash": "0123456789abcdef"});
    let records = [
        json!({
            "event_id": "0b3f5a4e-6d0c-4c53-9a39-3f6f0f6f3c11", "timestamp": "2026-03-05T07:08:09.123Z",
            "client_ip": "192.0.2.7", "session_id": "s-1", "user_id": null, "event_type": "purchase",
            "url": "https://shop.example/cart", "referrer": null, "user_agent": "Mozilla/5.0",
            "device": {"type": "mobile", "os": "Android 16", "screen": {"width": 1080, "height": 2400}},
            "properties": [{"name": "campaign", "value": "spring"}], "price": 19.99,
        }),
        json!({
            "device_id": "d-1", "timestamp": 1_772_694_489_123_i64, "site": "plant-3", "model": "T100",
            "temperature": 21.5, "humidity": 40, "battery": 99.5, "location": {"lat": 48.1, "lon": 11.6},
            "status": "ok", "readings": [1, 2.5], "firmware": "1.2.3",
        }),
        json!({
            "service": "checkout", "host": "node-7", "timestamp": "2026-03-05T07:08:09.123456Z", "level": "info",
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "message": "done",
            "duration_ms": 12.5, "http": {"method": "POST", "route": "/pay", "status": 200},
            "labels": {"region": "eu"},
        }),
    ];
    records.map(|mut record| {
        let fields = record.as_object_mut().expect("an object");
        fields.extend(envelope.as_object().expect("an object").clone());
        record
    })
}

#[test]
fn the_shipped_schemas_take_their_records_and_refuse_broken_ones() {
    for (pipeline, sample) in shipped().pipelines.iter().zip(samples()) {
        let name = &pipeline.stream.name;
        let schema = pipeline.ingest.schema.as_deref().expect("a schema");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        jsonschema::draft202012::meta::validate(schema).expect(name);
        let validator = jsonschema::options().should_validate_formats(true).build(schema).expect(name);
        if let Err(error) = validator.validate(&sample) {
            panic!("{name}: {error}");
        }
        // Each field of the sample is known to the schema, and is not taken with another type.
        for (field, value) in sample.as_object().expect("an object") {
            assert!(schema["properties"].get(field).is_some(), "{name}: {field} is in the schema");
            let mut broken = sample.clone();
            broken[field] = if value.is_boolean() { json!(1) } else { json!(true) };
            assert!(!validator.is_valid(&broken), "{name}: {field} of another type is refused");
        }
        // Only what is required must be there: not what the load generator adds.
        let required = schema["required"].as_array().expect("required fields");
        let mut least = sample.clone();
        least
            .as_object_mut()
            .expect("an object")
            .retain(|field, _| required.iter().any(|name| name == field));
        assert!(validator.is_valid(&least) && least.get("hash").is_none(), "{name}");
        for field in required {
            let mut missing = least.clone();
            missing.as_object_mut().expect("an object").remove(field.as_str().expect("a name"));
            assert!(!validator.is_valid(&missing), "{name}: {field} is required");
        }
    }
}
