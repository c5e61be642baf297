//! Rules in their order, one request at a time.

use http::Request;
use proptest::prelude::*;

use super::*;
use crate::edge::listen::socket::Peer;

const BLOCK: Verdict = Verdict::Block(StatusCode::FORBIDDEN);

fn rule(name: &str, when: When, verdict: Verdict) -> Rule {
    Rule { name: name.to_owned(), when, verdict }
}

fn path(text: &str) -> When {
    When { path: Some(text.to_owned()), ..When::default() }
}

fn query(text: &str) -> When {
    When { query: Some(text.to_owned()), ..When::default() }
}

fn header(name: HeaderName, text: &str) -> When {
    When { headers: vec![(name, text.to_owned())], ..When::default() }
}

/// What becomes of a request, and what has been counted.
fn judged(rules: Vec<Rule>, request: http::request::Builder) -> (Result<(), u16>, String) {
    judged_with(Settings { rules, injection: None }, request)
}

fn judged_with(settings: Settings, request: http::request::Builder) -> (Result<(), u16>, String) {
    let registry = Registry::new().unwrap();
    let rules = Rules::new(&settings, &registry).unwrap();
    let (head, ()) = request.body(()).unwrap().into_parts();
    let client = Some([192, 0, 2, 7].into());
    let facts = Facts {
        head: &head,
        peer: &Peer::default(),
        client,
        route: "records",
        action: None,
        stream: None,
        visit: None,
    };
    let verdict = rules.judge(&facts).map_err(|status| status.as_u16());
    let counted = registry.render();
    let counted = counted.lines().filter(|line| line.starts_with("forebay_rule_matches_total{"));
    let names = counted.filter(|line| line.ends_with(" 1")).filter_map(|line| line.split('"').nth(1));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort();
    (verdict, names.join(" "))
}

fn get(target: &str) -> http::request::Builder {
    Request::get(target)
}

#[test]
fn the_first_rule_that_allows_or_blocks_is_the_last() {
    let rules = || {
        vec![
            rule("a-counts", path("^/v1"), Verdict::Count),
            rule("b-allows", query("pass"), Verdict::Allow),
            rule("c-blocks", path("/cursors/"), Verdict::Block(StatusCode::NOT_FOUND)),
            rule("d-blocks", path("^/v1"), BLOCK),
        ]
    };
    assert_eq!(judged(rules(), get("/v1/x?pass")), (Ok(()), "a-counts b-allows".to_owned()));
    assert_eq!(judged(rules(), get("/v1/s/cursors/c")), (Err(404), "a-counts c-blocks".to_owned()));
    assert_eq!(judged(rules(), get("/v1/s")), (Err(403), "a-counts d-blocks".to_owned()));
    assert_eq!(judged(rules(), get("/")), (Ok(()), String::new()));
}

#[test]
fn all_of_what_a_rule_is_about_must_be_so() {
    let when = When { methods: vec![Method::POST], query: Some("a=1".to_owned()), ..path("/records$") };
    let judge = |request| judged(vec![rule("r", when.clone(), BLOCK)], request).0;
    assert_eq!(judge(Request::post("/s/records?a=1")), Err(403));
    assert_eq!(judge(Request::get("/s/records?a=1")), Ok(()));
    assert_eq!(judge(Request::post("/s/records?a=2")), Ok(()));
    assert_eq!(judge(Request::post("/s/records/x?a=1")), Ok(()));
}

#[test]
fn a_query_is_read_as_it_came_and_decoded() {
    let judge = |pattern: &str, target: &str| judged(vec![rule("r", query(pattern), BLOCK)], get(target)).0;
    assert_eq!(judge("<b>", "/?q=%3Cb%3E"), Err(403));
    assert_eq!(judge("%3C", "/?q=%3Cb%3E"), Err(403));
    assert_eq!(judge("a b", "/?q=a+b"), Err(403));
    assert_eq!(judge("^$", "/"), Err(403));
    assert_eq!(judge("<b>", "/?q=b"), Ok(()));
}

#[test]
fn a_header_that_is_not_there_is_empty_and_each_value_counts() {
    let agent = http::header::USER_AGENT;
    let judge = |pattern: &str, request| {
        judged(vec![rule("r", header(http::header::USER_AGENT, pattern), BLOCK)], request).0
    };
    assert_eq!(judge("^$", get("/")), Err(403));
    assert_eq!(judge("^$", get("/").header(&agent, "curl/8")), Ok(()));
    assert_eq!(judge("(?i)CURL", get("/").header(&agent, "curl/8")), Err(403));
    let two = get("/").header(&agent, "nice").header(&agent, "masscan");
    assert_eq!(judge("^masscan$", two), Err(403));
    let bytes = http::HeaderValue::from_bytes(b"mass\xffcan").unwrap();
    assert_eq!(judge("mass.can|mass[^a]can", get("/").header(&agent, bytes)), Err(403));
}

#[test]
fn clients_and_announced_lengths_are_compared() {
    let networks = |text: &str| Some(Arc::new(Networks::new([text.parse().unwrap()])));
    let from = |text: &str| When { clients: networks(text), ..When::default() };
    assert_eq!(judged(vec![rule("r", from("192.0.2.0/24"), BLOCK)], get("/")).0, Err(403));
    assert_eq!(judged(vec![rule("r", from("198.51.100.0/24"), BLOCK)], get("/")).0, Ok(()));
    let over = When { body_bytes_over: Some(100), ..When::default() };
    let judge = |length: &str| {
        judged(vec![rule("r", over.clone(), BLOCK)], Request::post("/").header("content-length", length)).0
    };
    assert_eq!((judge("101"), judge("100")), (Err(403), Ok(())));
    assert_eq!(judged(vec![rule("r", over.clone(), BLOCK)], Request::post("/")).0, Ok(()));
}

#[test]
fn attacks_are_counted_or_blocked_behind_the_rules_and_secrets_are_not_read() {
    let attack = || get("/?q=1+union+select+null").header("referer", "http://x/?a=<script>");
    let settings = |verdict, rules| Settings { rules, injection: Some(verdict) };
    let found = "screening:script screening:sql".to_owned();
    assert_eq!(judged_with(settings(Verdict::Count, Vec::new()), attack()), (Ok(()), found.clone()));
    assert_eq!(judged_with(settings(BLOCK, Vec::new()), attack()), (Err(403), found));
    let allowed = vec![rule("ok", path("^/$"), Verdict::Allow)];
    assert_eq!(judged_with(settings(BLOCK, allowed), attack()), (Ok(()), "ok".to_owned()));
    for name in ["authorization", "x-api-key"] {
        let secret = get("/").header(name, "<script>");
        assert_eq!(judged_with(settings(BLOCK, Vec::new()), secret).0, Ok(()), "{name}");
    }
    let browser = get("/v1/streams/s/records?q=shoes")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130 Safari/537.36",
        )
        .header("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
        .header("sec-ch-ua", "\"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"")
        .header("referer", "https://shop.example/p?q=it%27s+or+not&sort=a,b#top")
        .header("cookie", "_ga=GA1.2.3.4; s=%7B%22a%22%3A1%7D")
        .header("if-none-match", "W/\"abc\"");
    assert_eq!(judged_with(settings(BLOCK, Vec::new()), browser), (Ok(()), String::new()));
}

#[test]
fn a_pattern_that_is_none_or_grows_too_large_is_refused() {
    assert!(check_pattern("a{1,3}").is_ok());
    for text in ["(", "a{1000}{1000}{1000}", "(?=a)", r"(a)\1"] {
        assert!(check_pattern(text).is_err(), "{text}");
    }
}

proptest! {
    /// One automaton of all patterns says what each pattern alone would.
    #[test]
    fn patterns_together_say_what_each_says_alone(
        patterns in prop::collection::vec("[ab]{1,3}|\\^a|b\\$|a\\.b", 1..12),
        text in "[ab/]{0,12}",
    ) {
        let target = format!("/{text}");
        let rules = patterns.iter().enumerate().map(|(index, text)| {
            rule(&format!("r{index:02}"), path(text), Verdict::Count)
        });
        let alone = patterns.iter().enumerate().filter(|(_, text)| {
            regex::bytes::Regex::new(text).unwrap().is_match(target.as_bytes())
        });
        let alone: Vec<_> = alone.map(|(index, _)| format!("r{index:02}")).collect();
        prop_assert_eq!(judged(rules.collect(), get(&target)), (Ok(()), alone.join(" ")));
    }
}
