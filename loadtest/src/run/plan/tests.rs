use super::*;

#[test]
fn a_url_becomes_what_to_connect_to() {
    let target = Target::parse("http://127.0.0.1:8080").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), ("127.0.0.1", 8080, ""));
    let target = Target::parse("http://[::1]/ingest/").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), ("::1", 80, "/ingest"));
    assert_eq!(target.authority, "[::1]");
    let target = Target::parse("https://h/").unwrap();
    assert!(target.is_tls && target.port == 443);
}

#[test]
fn a_plan_is_shared_only_if_there_is_something_for_each() {
    let plan =
        |connections, records| Plan { connections, producers: 8, records: Some(records), ..Plan::default() };
    assert_eq!(plan(4, 4).check_shared(4), Ok(()));
    for (plan, option) in [(plan(3, 4), "connections"), (plan(4, 3), "records")] {
        let refused = plan.check_shared(4);
        assert!(matches!(&refused, Err(PlanError::Range { option: of, .. }) if *of == option), "{refused:?}");
    }
    let text = plan(2, 4).check_shared(4).unwrap_err().to_string();
    assert_eq!(text, "--connections 2 cannot be used: give at least 4 (one for each of 4 --processes)");
    // What makes no sense at all is told first.
    let few = Plan { producers: 4, ..plan(8, 100) };
    assert!(matches!(few.check_shared(2), Err(PlanError::Range { option: "producers", .. })));
}

#[test]
fn what_load_cannot_be_sent_to_is_refused() {
    for url in ["", "127.0.0.1:8080", "ftp://h", "http://", "http://u:p@h/", "http://h/?a=b"] {
        assert!(matches!(Target::parse(url), Err(PlanError::Url { .. })), "{url}");
    }
}
