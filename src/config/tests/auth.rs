//! `[auth]` and `[[api_key]]`.

use super::{node_complaints_by_line as complaints, node_from, printed};
use crate::config::checked::{Auth, Demand};
use crate::edge::identity::credentials::sha256;
use crate::edge::identity::policy::Action;
use crate::edge::identity::principal::IdentityKind;

fn auth(text: &str) -> Auth {
    let (node, problems) = node_from(text);
    node.unwrap_or_else(|| panic!("{}", printed(&problems))).auth
}

const KEY: &str =
    "[[api_key]]\nname = \"mobile\"\nkey = \"0123456789abcdef\"\nallow = [\"ingest:web\", \"tap:*\"]\n";
const HELP: &str = "write [auth] with ingest = [\"api_key\"], tap = [\"api_key\"], and an [[api_key]]";

#[test]
fn without_a_table_nobody_on_this_machine_is_asked() {
    let auth = auth("");
    assert!(Action::ALL.iter().all(|action| *auth.demand(*action) == Demand::Open));
}

#[test]
fn what_no_identity_is_named_for_is_closed() {
    let auth = auth(&format!("[auth]\ningest = [\"api_key\"]\nadmin = [\"none\"]\n{KEY}"));
    assert_eq!(*auth.demand(Action::Ingest), Demand::AnyOf(vec![IdentityKind::ApiKey]));
    assert_eq!(*auth.demand(Action::Tap), Demand::Closed);
    assert_eq!(*auth.demand(Action::Admin), Demand::Open);
    assert_eq!(*auth.demand(Action::DeadLetters), Demand::Closed, "however much a key may do");
    assert!(!auth.are_in_query);
}

#[test]
fn a_key_is_kept_as_its_digest_however_it_is_given() {
    let digest: String = sha256(b"0123456789abcdef").iter().map(|byte| format!("{byte:02x}")).collect();
    let auth_of = |key: &str| {
        auth(&format!("[auth]\ningest = [\"api_key\"]\n{}", KEY.replace("key = \"0123456789abcdef\"", key)))
    };
    for key in ["key = \"0123456789abcdef\"", &format!("key_sha256 = \"{digest}\"")] {
        let auth = auth_of(key);
        let [key] = auth.api_keys.as_slice() else { panic!("{auth:?}") };
        assert_eq!((key.name.as_str(), key.digest), ("mobile", sha256(b"0123456789abcdef")));
        assert!(
            key.policy.permits(Action::Ingest, Some("web")) && key.policy.permits(Action::Tap, Some("x"))
        );
        for other in [Action::Admin, Action::DeadLetters] {
            assert!(!key.policy.permits(Action::Ingest, Some("x")) && !key.policy.permits(other, None));
        }
        let shown = format!("{auth:?}");
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("digest"), "{shown}");
    }
}

#[test]
fn on_an_address_that_others_reach_somebody_is_asked() {
    let listen = "[server]\nlisten = \"0.0.0.0:80\"\n";
    assert_eq!(
        complaints(listen),
        format!(
            "2:10: everybody who can reach 0.0.0.0:80 may put records into all streams and read them: [auth] is missing\n  \
             help: {HELP}, or listen on a loopback address such as 127.0.0.1:8080"
        )
    );
    assert_eq!(
        complaints(&format!("{listen}[auth]\ntap = [\"none\"]\n")),
        "4:7: \"none\" lets everybody who can reach 0.0.0.0:80 read all streams\n  \
         help: name a proof of identity, or listen on a loopback address such as 127.0.0.1:8080"
    );
    auth(&format!("{listen}[auth]\ningest = [\"api_key\"]\n{KEY}"));
}

#[test]
fn every_wrong_setting_is_refused() {
    let asked = "[auth]\ningest = [\"api_key\"]\n";
    let with = |from: &str, to: &str| format!("{asked}{}", KEY.replace(from, to));
    let no_grant = "help: write one such as \"ingest:web\", \"tap:*\" or \"*:web-*\"";
    for (text, message) in [
        (asked.to_owned(), "2:11: there is no [[api_key]], so that this lets nobody in".to_owned()),
        (KEY.to_owned(), format!("1:1: nobody is asked for a proof of the kind \"api_key\"\n  help: {HELP}")),
        (
            format!("[auth]\ningest = []\n{KEY}"),
            "2:10: ingest must not be empty\n  help: leave it out, and nobody may, or name a proof of identity".to_owned(),
        ),
        (
            format!("[auth]\ndead_letters = []\n{KEY}"),
            "2:16: dead_letters must not be empty\n  help: leave it out, and nobody may, or name a proof of identity".to_owned(),
        ),
        (format!("[auth]\ntap = [\"api_key\", \"none\"]\n{KEY}"), "2:19: \"none\" asks nobody: it stands alone".to_owned()),
        (format!("[auth]\ntap = [\"api_key\", \"api_key\"]\n{KEY}"), "2:19: \"api_key\" is named twice".to_owned()),
        (
            with("key = \"0123456789abcdef\"", "key = \"0123456789abcde\""),
            "5:7: key has 16 to 256 printable ASCII characters, and no white space\n  help: openssl rand -hex 24 makes one that nobody guesses".to_owned(),
        ),
        (
            with("key = \"0123456789abcdef\"", "key_sha256 = \"00\""),
            "5:14: key_sha256 has 64 hexadecimal digits\n  help: printf %s \"$KEY\" | sha256sum prints it".to_owned(),
        ),
        (
            with("allow", "key_sha256 = \"00\"\nallow"),
            "6:14: key_sha256 stands in the place of key: write one of them".to_owned(),
        ),
        (
            with("\"tap:*\"", "\"read:*\""),
            format!("6:24: \"read:*\" is no grant: there are the actions ingest, tap, admin, dead_letters, and * for all\n  {no_grant}"),
        ),
        (with("\"tap:*\"", "\"tap\""), format!("6:24: \"tap\" is no grant: a grant is an action and a stream\n  {no_grant}")),
        (
            format!("{asked}{KEY}{KEY}"),
            "7:1: its secret is also that of api_key 1: each needs its own\n\
             8:8: name = \"mobile\" is also that of api_key 1: each needs its own".to_owned(),
        ),
    ] {
        assert_eq!(complaints(&text), message, "{text}");
    }
}
