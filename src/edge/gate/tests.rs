//! Who is let in, by configuration.

use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, header};

use super::*;
use crate::config::checked::{Access, Allowance, ApiKey, Auth, Limits, SignatureRule};
use crate::edge::identity::credentials::sha256;
use crate::edge::identity::policy::{Grant, Policy};
use crate::edge::listen::socket::Peer;
use crate::telemetry::metrics::Registry;

fn key(name: &str, secret: &str, allow: &[&str]) -> ApiKey {
    let grants = allow.iter().map(|text| Grant::parse(text).unwrap()).collect();
    ApiKey {
        name: name.to_owned(),
        digest: sha256(secret.as_bytes()),
        policy: Policy::new(grants),
        allowance: Allowance::default(),
    }
}

fn gate_of(auth: &Auth) -> Arc<Gate> {
    let access = Access { signature: SignatureRule::Required, clock_skew: Duration::ZERO, keys: Vec::new() };
    let registry = Registry::new().unwrap();
    let throttle = Throttle::new(&Limits::default(), &registry);
    let identities = Arc::new(Identities::new(&access, "000000000000", &throttle));
    Arc::new(Gate::new(auth, (identities, Arc::default()), &throttle, &registry.authorizer()))
}

/// Producers and who reads dead letters need a key, nobody else reads, and everybody on this machine changes streams.
fn gate() -> Arc<Gate> {
    let asked = || Demand::AnyOf(vec![IdentityKind::ApiKey]);
    let demands = [asked(), Demand::Closed, Demand::Open, asked()];
    let keys = vec![key("mobile", "mobile-secret", &["ingest:web", "tap:web"]), key("all", "root", &["*:*"])];
    gate_of(&Auth::new(demands, keys))
}

/// What `enter` says to a request for `action` to the stream `web`.
fn enter(action: Option<Action>, headers: &[(&str, &str)]) -> Result<Option<String>, Problem> {
    let mut request = Request::get("/v1/streams/web/records?api_key=mobile-secret");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let peer = Peer::default();
    let facts = Facts {
        head: &head,
        peer: &peer,
        client: None,
        route: "records",
        action,
        stream: Some("web"),
        visit: None,
    };
    let entry = gate().enter(&facts).now_or_never().expect("an answer at once")?;
    Ok(entry.principal.map(|principal| principal.name.to_string()))
}

fn refused(action: Action, headers: &[(&str, &str)]) -> (u16, String) {
    let problem = enter(Some(action), headers).unwrap_err();
    (problem.status().as_u16(), problem.detail())
}

#[test]
fn a_key_lets_in_by_either_header_those_whom_it_is_for() {
    for header in [("x-api-key", "mobile-secret"), ("authorization", "Bearer mobile-secret")] {
        assert_eq!(enter(Some(Action::Ingest), &[header]), Ok(Some("mobile".to_owned())));
    }
    assert_eq!(enter(Some(Action::Admin), &[]), Ok(None));
    assert_eq!(enter(None, &[]), Ok(None));
}

#[test]
fn who_is_not_known_is_told_by_what_to_prove_themselves() {
    let problem = enter(Some(Action::Ingest), &[]).unwrap_err();
    assert_eq!((problem.status().as_u16(), problem.code()), (401, "unauthenticated"));
    assert_eq!(problem.detail(), MISSING);
    let response = problem.into_response(&Default::default());
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"forebay\"");
    let wrong = |header| refused(Action::Ingest, &[header]);
    assert_eq!(wrong(("authorization", "Bearer mobile")), (401, "the bearer token is not known".to_owned()));
    assert_eq!(wrong(("x-api-key", "mobile")), (401, "the API key is not known".to_owned()));
    assert_eq!(wrong(("authorization", "Basic bW9iaWxlLXNlY3JldA==")).0, 401);
}

#[test]
fn a_wrong_key_is_not_made_up_for_by_a_right_one() {
    let both = [("x-api-key", "wrong"), ("authorization", "Bearer mobile-secret")];
    assert_eq!(refused(Action::Ingest, &both).0, 401);
}

#[test]
fn what_no_identity_is_named_for_nobody_does() {
    let (status, detail) = refused(Action::Tap, &[("x-api-key", "root")]);
    assert_eq!(status, 403);
    assert_eq!(detail, "nobody may read streams here: [auth] tap names no identity");
}

#[test]
fn dead_letters_take_a_grant_of_their_own() {
    assert_eq!(enter(Some(Action::DeadLetters), &[("x-api-key", "root")]), Ok(Some("all".to_owned())));
    let (status, detail) = refused(Action::DeadLetters, &[("x-api-key", "mobile-secret")]);
    assert_eq!((status, detail.as_str()), (403, "'mobile' may not read dead letters of 'web'"));
    let problem = enter(Some(Action::DeadLetters), &[]).unwrap_err();
    assert!(matches!(problem, Problem::Unauthenticated { challenge: Some(_), .. }), "{problem:?}");
}

#[test]
fn who_is_known_does_no_more_than_they_may() {
    let demands = Action::ALL.map(|_| Demand::AnyOf(vec![IdentityKind::ApiKey]));
    let keys = vec![key("mobile", "mobile-secret", &["ingest:web"])];
    let gate = gate_of(&Auth::new(demands, keys));
    let (head, ()) = Request::post("/").header("x-api-key", "mobile-secret").body(()).unwrap().into_parts();
    let peer = Peer::default();
    let facts = |action, stream| Facts {
        head: &head,
        peer: &peer,
        client: None,
        route: "records",
        action: Some(action),
        stream: Some(stream),
        visit: None,
    };
    let enter = |action, stream| gate.enter(&facts(action, stream)).now_or_never().expect("at once");
    let entry = enter(Action::Ingest, "web").unwrap();
    assert!(!entry.may(Action::Tap, Some("web")));
    let refused = enter(Action::Tap, "web").unwrap_err();
    assert_eq!(
        (refused.status().as_u16(), refused.detail()),
        (403, "'mobile' may not read 'web'".to_owned())
    );
    assert_eq!(enter(Action::Ingest, "other").unwrap_err().status().as_u16(), 403);
}

/// The entry of a request with a key to `gate`.
fn entry_of(gate: &Arc<Gate>, secret: &str) -> Entry {
    let (head, ()) = Request::post("/").header("x-api-key", secret).body(()).unwrap().into_parts();
    let peer = Peer::default();
    let action = Some(Action::Ingest);
    let facts = Facts {
        head: &head,
        peer: &peer,
        client: None,
        route: "records",
        action,
        stream: Some("web"),
        visit: None,
    };
    gate.enter(&facts).now_or_never().expect("at once").unwrap()
}

#[test]
fn what_is_open_goes_on_only_while_its_sender_is_the_same_and_may() {
    let by_key = || Action::ALL.map(|_| Demand::AnyOf(vec![IdentityKind::ApiKey]));
    let keys =
        |secret: &str, allow: &[&str]| vec![key("mobile", secret, allow), key("all", "root", &["*:*"])];
    let gate_of_keys = |keys| gate_of(&Auth::new(by_key(), keys));
    let before = gate_of_keys(keys("mobile-secret", &["ingest:web"]));
    let entry = entry_of(&before, "mobile-secret");
    let goes_on = |gate: &Arc<Gate>| entry.renewed(gate, Action::Ingest, "web").is_some();
    assert!(goes_on(&before));
    let others = vec![key("new", "new-secret", &["tap:*"]), key("mobile", "mobile-secret", &["ingest:web"])];
    assert!(goes_on(&gate_of_keys(others)), "others have come and gone");
    for (why, gate) in [
        ("another secret", gate_of_keys(keys("rotated", &["ingest:web"]))),
        ("another grant", gate_of_keys(keys("mobile-secret", &["ingest:other"]))),
        ("gone", gate_of_keys(vec![key("all", "root", &["*:*"])])),
        ("nobody", gate_of(&Auth::new(Action::ALL.map(|_| Demand::Closed), Vec::new()))),
        (
            "another proof",
            gate_of(&Auth::new(
                Action::ALL.map(|_| Demand::AnyOf(vec![IdentityKind::Jwt])),
                keys("mobile-secret", &["ingest:web"]),
            )),
        ),
    ] {
        assert!(!goes_on(&gate), "{why}");
    }
    // A later change is compared with what holds then.
    let next = gate_of_keys(keys("mobile-secret", &["ingest:web"]));
    let entry = entry.renewed(&next, Action::Ingest, "web").unwrap();
    assert!(entry.renewed(&gate_of_keys(keys("rotated", &["ingest:web"])), Action::Ingest, "web").is_none());
    assert!(entry.renewed(&next, Action::Tap, "web").is_none());
}

#[test]
fn where_nobody_was_asked_and_somebody_is_now_nothing_stays_open() {
    let open = gate_of(&Auth::new(Action::ALL.map(|_| Demand::Open), Vec::new()));
    let entry = entry_of(&open, "of no account");
    assert!(entry.principal.is_none() && entry.renewed(&open, Action::Ingest, "web").is_some());
    assert!(entry.renewed(&gate(), Action::Ingest, "web").is_none());
    assert!(entry.renewed(&gate(), Action::Admin, "web").is_some());
}
