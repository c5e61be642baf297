mod agreement;
mod captures;
mod schemas;
mod verdicts;

use serde_json::Value;

use super::*;

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|text| Pointer::parse(text).unwrap()).collect()
}

fn compiled(schema: &Value) -> Plan {
    let plan = Plan::compile(Some(schema), &[]).unwrap();
    assert_eq!(plan.fallback_reason(), None);
    plan
}

/// The violation as shown, or `fits`.
fn verdict(plan: &Plan, record: &str) -> String {
    let mut scratch = Scratch::new();
    let mut scanner = Scanner::new(record);
    let verdict = plan.check(&mut scanner, &mut scratch).unwrap();
    scanner.end().unwrap();
    assert_eq!(verdict == Verdict::Fits, scratch.violation().is_none());
    scratch.violation().map_or_else(|| "fits".to_owned(), ToString::to_string)
}
