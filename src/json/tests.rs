use super::*;

#[test]
fn a_scan_accepts_what_serde_json_accepts() {
    for text in [r#"{"a":[1,2.5e3,true,null,"x\n\u00e9"],"b":{}}"#, "[]", " 0 ", "-0.0"] {
        let mut scanner = Scanner::new(text);
        scanner.skip_value().unwrap();
        scanner.end().unwrap();
    }
}
